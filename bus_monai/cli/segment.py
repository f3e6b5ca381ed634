"""``bus-monai segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bus_monai.inference.predictor import BackendName


def segment(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Files and folders of DICOM, PNG, JPEG or NIfTI.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results, a mirror of the folder read.")] = Path("segmented"),
    model: Annotated[
        str, typer.Option(metavar="BUNDLE[:WEIGHTS]", help="What finds the lesions; several weights by commas.")
    ] = "lite_unet",
    write: Annotated[
        str, typer.Option(help="Some of seg, sr, overlay, png, nifti, sc; seg, sr and sc for DICOM files alone.")
    ] = "seg,sr,overlay,png",
    modality: Annotated[str, typer.Option(help="DICOM objects of another modality are skipped.")] = "US",
    backend: Annotated[
        str, typer.Option(metavar="auto|openvino|onnx|torch", help="auto is OpenVINO where installed, else PyTorch.")
    ] = "auto",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="From which probability on a pixel is lesion.")] = 0.5,
    min_area: Annotated[
        float | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Smallest lesion: in mm2 where the file is calibrated, else in pixels. By default a disc 2 mm across, "
            "or a thirtieth of the frame's height.",
        ),
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta/--no-tta", help="Also segment each image mirrored, and average: half as fast.")
    ] = False,
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
