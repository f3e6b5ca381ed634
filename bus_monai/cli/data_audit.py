"""``bus-monai data audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bus_monai.cli.options import stoppable


@stoppable()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of images, in any layout.")],
    out: Annotated[Path, typer.Option(help="Where audit.json and audit.html go.")],
) -> None:
    """Find duplicates, masks that do not fit, text, calipers, color and margins among the images of DIR."""
    from bus_monai.data.audit.audit_folder import audit_folder
    from bus_monai.report.audit_report import write_audit

    found = audit_folder(folder)
    page = write_audit(found, out)
    for kind, findings in found.to_dict()["findings"].items():
        if findings:
            print(f"{len(findings):6d}  {kind.replace('_', ' ')}")
    print(f"{len(found.duplicate_groups):6d}  groups of duplicates among {len(found.images)} images\n{page}")
