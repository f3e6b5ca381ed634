"""``bus-monai segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus_monai.cli.segment_options import Backend, MinArea, Modality, Model, Threshold, Tta

if TYPE_CHECKING:
    from bus_monai.inference.predictor import BackendName


def segment(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Files and folders of DICOM, PNG, JPEG or NIfTI.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results, a mirror of the folder read.")] = Path("segmented"),
    model: Model = "lite_unet",
    write: Annotated[
        str, typer.Option(help="Some of seg, sr, overlay, png, nifti, sc; seg, sr and sc for DICOM files alone.")
    ] = "seg,sr,overlay,png",
    modality: Modality = "US",
    backend: Backend = "auto",
    threshold: Threshold = 0.5,
    min_area: MinArea = None,
    tta: Tta = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove what an earlier run wrote into OUT first.")
    ] = False,
) -> None:
    """Segment breast ultrasound: masks, DICOM SEG and SR, overlays, OUT/results.csv and OUT/run.json.

    Killed or interrupted, the same command goes on where it ended. A broken file is a row of results.csv with the
    reason, and the exit code is then 1. Not for clinical use.
    """
    from bus_monai.inference.models import parse_models
    from bus_monai.inference.outputs import parse_kinds
    from bus_monai.inference.predictor import Predictor
    from bus_monai.inference.segment_run import RESULTS, SegmentSettings, segment_inputs

    settings = SegmentSettings(parse_kinds(write), threshold, modality, min_area)
    (trained,) = parse_models([model], segmenters=True)
    chosen: BackendName = backend  # type: ignore[assignment]
    predictor = Predictor(trained, backend=chosen, tta=tta)
    try:
        totals = segment_inputs(inputs, out, predictor, settings, restart=restart)
    except KeyboardInterrupt:
        print("Stopped: what was begun is finished and recorded; run the command again to go on.")
        raise typer.Exit(130) from None
    print(f"{totals['lesions']} lesions in {totals['done']} files: {out}")
    if totals["skipped"]:
        print(f"{totals['skipped']} files are no {modality} and were left out.")
    if totals["crowded"]:
        print(f"{totals['crowded']} files have more lesions in a frame than are kept, see 'note' in '{out / RESULTS}'.")
    if totals["failed"]:
        print(f"{totals['failed']} files could not be segmented, see '{out / RESULTS}'.")
        raise typer.Exit(1)
