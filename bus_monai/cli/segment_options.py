"""Options that several commands share: which model finds lesions, and what a lesion is."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[
    str, typer.Option(metavar="BUNDLE[:WEIGHTS]", help="What finds the lesions; several weights by commas.")
]
Modality: TypeAlias = Annotated[str, typer.Option(help="DICOM objects of another modality are skipped.")]
Backend: TypeAlias = Annotated[
    str, typer.Option(metavar="auto|openvino|onnx|torch", help="auto is OpenVINO where installed, else PyTorch.")
]
Threshold: TypeAlias = Annotated[float, typer.Option(min=0, max=1, help="From which probability on a pixel is lesion.")]
MinArea: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        show_default=False,
        help="Smallest lesion: in mm2 where the file is calibrated, else in pixels. By default a disc 2 mm across, "
        "or a thirtieth of the frame's height.",
    ),
]
Tta: TypeAlias = Annotated[
    bool, typer.Option("--tta/--no-tta", help="Also segment each image mirrored, and average: half as fast.")
]
