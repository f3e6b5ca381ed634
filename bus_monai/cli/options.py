"""Options that several commands share (data, model, lesions), and stopping by Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import typer

if TYPE_CHECKING:
    from bus_monai.inference.backends.backend import Sensitivity
    from bus_monai.inference.predictor import BackendName, Predictor
    from bus_monai.pacs.address import TlsFiles
Data: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder with a datalist.json, or a raw data set; phantoms if not given.")
]
SkipBroken: TypeAlias = Annotated[
    bool, typer.Option("--skip-broken", help="Go on without images that cannot be read, and name them.")
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="BUNDLE[:WEIGHTS]",
        help="What finds the lesions; several weights by commas, or models:/NAME/VERSION of MLflow's registry.",
    ),
]
Trust: TypeAlias = Annotated[
    bool,
    typer.Option("--trust", help="Let BUNDLE be the path of a folder that is not of this package: its configs run."),
]
Modality: TypeAlias = Annotated[str, typer.Option(help="DICOM objects of another modality are skipped.")]
Backend: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|openvino|openvino-int8|onnx|torch",
        help="auto is OpenVINO where installed, in eight bits where that is faster, else PyTorch.",
    ),
]
Threshold: TypeAlias = Annotated[float, typer.Option(min=0, max=1, help="From which probability on a pixel is lesion.")]
MinArea: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        show_default=False,
        help="Smallest lesion: in mm2 where the file is calibrated, else in pixels. By default a disk 2 mm across, "
        "or a thirtieth of the frame's height.",
    ),
]
SensitivityOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--sensitivity",
        metavar="high|balanced|specific",
        help="How many lesions to find at how many false ones, as the card of the bundle says.",
    ),
]
AnyBodyPart: TypeAlias = Annotated[
    bool,
    typer.Option("--any-body-part", help="Segment also what shows something else than a breast, or says so."),
]
Tta: TypeAlias = Annotated[
    bool, typer.Option("--tta/--no-tta", help="Also segment each image mirrored, and average: half as fast.")
]
TlsCert: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="PEM", show_default=False, help="Encrypt by TLS: the certificate of this server.")
]
TlsKey: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="PEM", show_default=False, help="Its key; a password is in BUS_MONAI_TLS_KEY_PASSWORD."),
]


def tls_files(certificate: Path | None, key: Path | None, authority: Path | None = None) -> TlsFiles | None:
    """Return the files of these options, ``None`` where there are none.

    Raises:
        UserError: one is missing.
    """
    from bus_monai.errors import UserError
    from bus_monai.pacs.address import TlsFiles

    if bool(certificate) != bool(key) or (authority and not certificate):
        raise UserError("TLS needs --tls-cert and --tls-key: give both, or nothing of TLS.")
    return TlsFiles(certificate, key, authority) if certificate and key else None


def load_predictor(model: str, backend: str, tta: bool, sensitivity: str, trust: bool, threads: int = 0) -> Predictor:
    """Load the model of these options, in a process whose memory does not grow however long it runs.

    Raises:
        UserError: as :func:`~bus_monai.bundle.models.parse_models` and
            :class:`~bus_monai.inference.predictor.Predictor`.
    """
    from bus_monai.bundle.models import parse_models
    from bus_monai.bundle.process import prepare_to_segment
    from bus_monai.inference.predictor import Predictor

    prepare_to_segment()
    (trained,) = parse_models([model], segmenters=True, trust=trust)
    chosen, point = cast("BackendName", backend), cast("Sensitivity", sensitivity)
    return Predictor(trained, backend=chosen, tta=tta, sensitivity=point, threads=threads)


def check_not_set(option: str, keys: Iterable[str], instead: Mapping[str, str]) -> None:
    """Check that an option sets no key that the command sets by itself, where it would do nothing.

    Args:
        option: that sets them.
        keys: of a config, also with the ``settings#`` before them that MONAI takes.
        instead: what to do, by key, in words to end the sentence with.

    Raises:
        UserError: it does.
    """
    from bus_monai.errors import UserError

    for key in keys:
        name = key.removeprefix("settings#").removeprefix("settings::")
        if name in instead:
            raise UserError(f"{option} gives '{key}', which this command sets itself: {instead[name]}.", key=option)


@contextmanager
def stoppable(how: str = "run the command again") -> Iterator[None]:
    """Decorate a command: on Ctrl-C it says how to go on, and ends with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Stopped: {how}.")
        raise typer.Exit(130) from None
