"""``bus-monai export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bus_monai.cli.options import Trust, stoppable

if TYPE_CHECKING:
    from bus_monai.inference.export import Format


@stoppable()
def export(
    model: Annotated[str, typer.Argument(metavar="BUNDLE[:WEIGHTS]", help="A segmenter; several weights by commas.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .onnx, .xml (OpenVINO) or .ts (TorchScript).")],
    format: Annotated[str, typer.Option(metavar="onnx|openvino|torchscript", help="Of the file.")] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Convolutions in eight-bit integers; openvino needs NNCF for it.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES",
            help="What int8 is calibrated and every format is compared with PyTorch on: an image, a folder, or a data "
            "set; phantoms if not given.",
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Write a trained segmenter for other runtimes, and print how far it is from PyTorch.

    FILE takes an image of any size to probabilities of that size; docs/export.md says how to run it. Beside it lies a
    .json with what surrounds the network. A file that is not int8 and differs from PyTorch is not written.
    """
    from bus_monai.bundle.models import parse_models

    (trained,) = parse_models([model], segmenters=True, trust=trust)

    from bus_monai.inference.export import export_model

    drift = export_model(trained, out, format=cast("Format", format), int8=int8, images=calibration)
    print(f"{out}: {drift}")
