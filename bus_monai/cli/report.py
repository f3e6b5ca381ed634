"""``bus-monai report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SEGMENTED_FILE = "results.csv"
"""What ``segment`` leaves, and no training."""


def report(
    folder: Annotated[Path, typer.Argument(help="The output_dir of training and evaluation, or the --out of segment.")],
) -> None:
    """Write FOLDER/report.html: curves, example contours and scores of a run; of what segment wrote, overview.png."""
    if (folder / SEGMENTED_FILE).is_file():
        from bus_monai.report.contact_sheet import write_contact_sheet

        print(write_contact_sheet(folder))
        return
    from bus_monai.report.evaluation_report import write_run_report

    print(write_run_report(folder))
