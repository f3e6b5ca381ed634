"""``bus-monai mammo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bus_monai.cli.options import Trust, stoppable
from bus_monai.errors import check_choice


@stoppable()
def mammo(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="A mammogram (DICOM, PNG, JPEG, NIfTI), a folder, or a data set with a datalist.json."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("mammograms"),
    detection: Annotated[
        str, typer.Option(metavar="BUNDLE[:WEIGHTS]", help="What finds the masses.")
    ] = "mass_detection",
    segmentation: Annotated[
        str, typer.Option(metavar="BUNDLE[:WEIGHTS]", help="What outlines each of them.")
    ] = "mammo_cgan",
    shape: Annotated[str, typer.Option(metavar="BUNDLE[:WEIGHTS]", help="What tells their shapes.")] = "mass_shape",
    boxes: Annotated[
        Path | None,
        typer.Option(help="CSV with image, top, left, bottom, right in pixels, used instead of the detector."),
    ] = None,
    split: Annotated[str, typer.Option(help="Of a data set: training, validation or test.")] = "test",
    trust: Trust = False,
) -> None:
    """Read mammograms: masks, shapes with probabilities, overlays, OUT/masses.csv and OUT/report.html.

    Of a data set with known masks the report also shows how errors pass from stage to stage.
    """
    from bus_monai.bundle.models import parse_models
    from bus_monai.data.datalist import DATALIST_FILE, SECTIONS

    check_choice("--split", split, SECTIONS[:3])
    stages = parse_models([f"detection={detection}", f"segmentation={segmentation}", f"shape={shape}"], trust=trust)

    from bus_monai.mammogram.run import IMAGES_FILE, run_mammograms

    is_set = (source / DATALIST_FILE).is_file()
    results = run_mammograms(source, out, stages, boxes=boxes, split=split if is_set else None)
    failed = sum(result.masses is None for result in results)
    print(f"{sum(result.masses or 0 for result in results)} masses in {len(results) - failed} images: {out}")
    if failed:
        print(f"{failed} of {len(results)} images could not be read, see '{out / IMAGES_FILE}'.")
        raise typer.Exit(1)
