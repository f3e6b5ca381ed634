"""``bus-monai serve``."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.cli import options

TLS_PANEL = "Encrypt what is received and sent"


def serve(
    send_to: Annotated[str, typer.Option(metavar="AET@HOST:PORT", help="Node that gets the results by C-STORE.")],
    allow: Annotated[
        list[str], typer.Option(metavar="AET", help="AE title that may send; again for each. Others are rejected.")
    ],
    aet: Annotated[
        str, typer.Option(metavar="AET", help="AE title of this node, which callers must use.")
    ] = "BUSMONAI",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 11112,
    spool: Annotated[Path, typer.Option(help="Folder of what is received and not sent yet.")] = Path("spool"),
    model: options.Model = DEFAULT_MODEL,
    write: Annotated[
        str, typer.Option(help="What is sent: some of seg, sr, sc (pictures) and gsps (contours that a viewer draws).")
    ] = "seg,sr",
    modality: options.Modality = "US",
    backend: options.Backend = "auto",
    threshold: options.Threshold = 0.5,
    min_area: options.MinArea = None,
    sensitivity: options.SensitivityOption = "balanced",
    any_body_part: options.AnyBodyPart = False,
    tta: options.Tta = False,
    trust: options.Trust = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PEM", show_default=False, help=f"{TLS_PANEL}: this node's certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="PEM", show_default=False, help="Its key, without a password.")
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(metavar="PEM", show_default=False, help="Callers too must show a certificate of this authority."),
    ] = None,
    max_spool_gb: Annotated[
        float, typer.Option(min=0, help="From which size of the spool on instances are refused (0xA700).")
    ] = 20,
    max_instance_mb: Annotated[float, typer.Option(min=0, help="Larger instances are refused (0xA700).")] = 1000,
    max_associations: Annotated[int, typer.Option(min=1, help="Associations at a time.")] = 10,
) -> None:
    """Be a DICOM node: receive breast ultrasound by C-STORE, segment it, send SEG and SR back.

    An instance is acknowledged when it is on the disk, and removed when its results are stored at the destination:
    after a kill, a restart or a night without the destination, the same command goes on. Ctrl-C or SIGTERM ends it.
    An example:

    bus-monai serve --aet BUSMONAI --host 0.0.0.0 --allow SCANNER1 --allow PACS --send-to PACS@pacs.local:104

    Not for clinical use.
    """
    from bus_monai.errors import UserError, check_choice, need_package
    from bus_monai.inference.write_outputs import DICOM_KINDS, OUTPUT_SUFFIXES, parse_kinds

    need_package("pynetdicom")
    if bool(tls_cert) != bool(tls_key) or (tls_ca and not tls_cert):
        raise UserError("TLS needs --tls-cert and --tls-key: give both, or neither and no --tls-ca.")

    kinds = parse_kinds(write)
    for kind in kinds:
        check_choice("--write", kind, [kind for kind in OUTPUT_SUFFIXES if kind in DICOM_KINDS])

    import logging
    from threading import Event

    from bus_monai.inference.segment_file import SegmentSettings
    from bus_monai.pacs.address import NodeAddress, TlsFiles, check_title
    from bus_monai.pacs.receive import NodeLimits
    from bus_monai.pacs.serve import ServeSettings
    from bus_monai.pacs.serve import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("bus_monai").setLevel(logging.INFO)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it quotes what callers send

    callers = [check_title(title, "--allow") for title in allow]
    settings = ServeSettings(
        NodeAddress(check_title(aet, "--aet"), host, port),
        NodeAddress.parse(send_to),
        spool,
        max_spool_gb * 1e9,
        NodeLimits(callers, max_associations, int(max_instance_mb * 1e6)),
        TlsFiles(tls_cert, tls_key, tls_ca) if tls_cert and tls_key else None,
    )
    predictor = options.load_predictor(model, backend, tta, sensitivity, trust)
    stop = Event()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once, which loses nothing either
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    run(settings, predictor, SegmentSettings(kinds, threshold, modality, min_area, any_body_part), stop)
