"""``bus-monai report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(folder: Annotated[Path, typer.Argument(help="The output_dir of training and evaluation.")]) -> None:
    """Write FOLDER/report.html: curves, example contours and scores of a run."""
    from bus_monai.report.run_report import write_run_report

    print(write_run_report(folder))
