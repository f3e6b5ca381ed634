"""``bus-monai serve``."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, TypeAlias

import typer

from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.cli import options

LOG_BYTES = 10_000_000


serve = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


def _take_config(context: typer.Context, path: Path | None) -> Path | None:
    """Let a config file give the options that the command line does not."""
    if path is not None:
        from bus_monai.pacs.config import read_config

        names = [option.name for option in context.command.params if option.name not in (None, "config", "check")]
        values, context.obj = read_config(path, map(str, names))
        context.default_map = {**(context.default_map or {}), **values}
    return path


@serve.callback()
def run(
    context: typer.Context,
    send_to: Annotated[
        str, typer.Option(metavar="AET@HOST:PORT", show_default=False, help="Node that gets the results by C-STORE.")
    ] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="AET", show_default=False, help="AE title that may send; again for each, others may not."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML",
            show_default=False,
            is_eager=True,
            callback=_take_config,
            help="File with these options as keys, and rules for what is segmented; options given here count more.",
        ),
    ] = None,
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
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(metavar="PEM", show_default=False, help="Callers too must show a certificate of this authority."),
    ] = None,
    max_spool_gb: Annotated[
        float, typer.Option(min=0, help="From which size of the spool on instances are refused (0xA700).")
    ] = 20,
    max_instance_mb: Annotated[float, typer.Option(min=0, help="Larger instances are refused (0xA700).")] = 1000,
    max_associations: Annotated[int, typer.Option(min=1, help="Associations at a time.")] = 10,
    shadow: Annotated[
        str,
        typer.Option(
            metavar="BUNDLE[:WEIGHTS]",
            show_default=False,
            help="Another model that segments too: it sends nothing, the journal compares.",
        ),
    ] = "",
    journal_uids: Annotated[
        bool, typer.Option("--journal-uids", help="Keep real UIDs beside their hashes in the audit journal.")
    ] = False,
    health_host: Annotated[str, typer.Option(help="Address of /healthz, /readyz and /metrics.")] = "127.0.0.1",
    health_port: Annotated[int, typer.Option(min=0, max=65535, help="Their port; 0 for none.")] = 9112,
    log_file: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Log into this file, ten of 10 MB, instead of to standard error."),
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines of JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check options, config, TLS files and model, and end: 0 if all are right.")
    ] = False,
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

    if context.invoked_subcommand:
        return
    need_package("pynetdicom")
    for key, value in (("--send-to", send_to), ("--allow", allow)):
        if not value:
            raise UserError(f"{key} is missing: give it, or write it to the file of --config.", key=key)
    tls = options.tls_files(tls_cert, tls_key, tls_ca)
    kinds = parse_kinds(write)
    for kind in kinds:
        check_choice("--write", kind, [kind for kind in OUTPUT_SUFFIXES if kind in DICOM_KINDS])

    from threading import Event

    from bus_monai.inference.segment_file import SegmentSettings
    from bus_monai.pacs.address import NodeAddress, check_title
    from bus_monai.pacs.receive import NodeLimits
    from bus_monai.pacs.serve import ServeSettings
    from bus_monai.pacs.serve import serve as run_node

    _log(log_file, log_json)
    callers = [check_title(title, "--allow") for title in allow or ()]
    settings = ServeSettings(
        NodeAddress(check_title(aet, "--aet"), host, port),
        NodeAddress.parse(send_to),
        spool,
        max_spool_gb * 1e9,
        NodeLimits(callers, max_associations, int(max_instance_mb * 1e6)),
        tls,
        context.obj or (),
        (health_host, health_port) if health_port else None,
        journal_uids,
        options.load_predictor(shadow, backend, tta, sensitivity, trust) if shadow else None,
    )
    predictor = options.load_predictor(model, backend, tta, sensitivity, trust)
    if check:
        if tls:
            tls.server_context()
        print(f"{settings.own} would send to {settings.destination}, by {len(settings.rules)} rules: all is right.")
        return
    stop = Event()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once, which loses nothing either
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    run_node(settings, predictor, SegmentSettings(kinds, threshold, modality, min_area, any_body_part), stop)


SpoolOption: TypeAlias = Annotated[
    Path | None, typer.Option(show_default=False, help="Spool of the node; by default that of serve, before it.")
]


@serve.command()
def audit(
    context: typer.Context,
    study: Annotated[str, typer.Option(metavar="UID", help="Study Instance UID.")],
    spool: SpoolOption = None,
) -> None:
    """Print what became of each instance of a study, one line of JSON each: why, by what, where the results are.

    The node may run meanwhile. An example:

    bus-monai serve audit --study 1.2.840.113619.2.1 --spool /var/lib/busmonai/spool
    """
    from bus_monai.errors import UserError
    from bus_monai.pacs.journal import read_study

    folder = _journal(context, spool)
    if not _print_rows(read_study(folder, study)):
        raise UserError(f"The journal in '{folder}' knows no such study: check --study.", path=folder, key="--study")


@serve.command()
def compare(context: typer.Context, spool: SpoolOption = None) -> None:
    """Print how far the model that sends and its --shadow agree, one line of JSON for each pair of them.

    The node may run meanwhile. An example:

    bus-monai serve compare --spool /var/lib/busmonai/spool
    """
    from bus_monai.errors import UserError
    from bus_monai.pacs.journal import compare_models

    folder = _journal(context, spool)
    if not _print_rows(compare_models(folder)):
        raise UserError(f"The journal in '{folder}' compares no models: serve with --shadow first.", path=folder)


def _journal(context: typer.Context, spool: Path | None) -> Path:
    from bus_monai.pacs.journal import JOURNAL_FOLDER

    assert context.parent is not None
    return Path(spool or context.parent.params["spool"]) / JOURNAL_FOLDER


def _print_rows(rows: Iterable[Mapping[str, object]]) -> int:
    import json

    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    print("\n".join(lines), end="\n" if lines else "")
    return len(lines)


def _log(file: Path | None, as_json: bool) -> None:
    import logging
    from logging.handlers import RotatingFileHandler

    from bus_monai.errors import writing
    from bus_monai.pacs.health import JsonLines

    handler: logging.Handler = logging.StreamHandler()
    if file is not None:
        with writing(file, option="--log-file"):
            handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=9, encoding="utf-8")
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("bus_monai").setLevel(logging.INFO)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it quotes what callers send
