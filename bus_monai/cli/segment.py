"""``bus-monai segment``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.cli import options
from bus_monai.errors import UserError, check_choice

if TYPE_CHECKING:
    from bus_monai.inference.executors.local import Executor


@options.stoppable("what was begun is finished and recorded; run the command again to go on")
def segment(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT...", show_default=False, help="Files and folders of DICOM, PNG, JPEG or NIfTI."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results, a mirror of the folder read.")] = Path("segmented"),
    model: options.Model = DEFAULT_MODEL,
    write: Annotated[
        str, typer.Option(help="Some of seg, sr, overlay, png, nifti, sc, gsps; seg, sr, sc and gsps for DICOM alone.")
    ] = "seg,sr,overlay,png",
    modality: options.Modality = "US",
    backend: options.Backend = "auto",
    threshold: options.Threshold = 0.5,
    min_area: options.MinArea = None,
    sensitivity: options.SensitivityOption = "balanced",
    any_body_part: options.AnyBodyPart = False,
    tta: options.Tta = False,
    trust: options.Trust = False,
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="ray spreads the files over processes, also of several machines.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=False,
            help="Of the head of a Ray cluster; without it RAY_ADDRESS counts, or Ray is started on this machine.",
        ),
    ] = None,
    ray_workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            show_default=False,
            help="Workers, each with a model of its own; by default one per core.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove what an earlier run wrote into OUT first.")
    ] = False,
    dicomweb: Annotated[
        str,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="Instead of INPUT: fetch a study from this DICOMweb service and store its SEG and SR there. A token, "
            "if it wants one, is read from the environment variable BUS_MONAI_DICOMWEB_TOKEN.",
        ),
    ] = "",
    study: Annotated[
        str, typer.Option(metavar="UID", show_default=False, help="Study Instance UID, with --dicomweb.")
    ] = "",
    series: Annotated[
        str, typer.Option(metavar="UID", show_default=False, help="One series of it, all without this.")
    ] = "",
) -> None:
    """Segment breast ultrasound: masks, DICOM SEG and SR, overlays, OUT/results.csv and OUT/run.json.

    Killed or interrupted, the same command goes on where it ended. A broken file is a row of results.csv with the
    reason, and the exit code is then 1. Not for clinical use.
    """
    from bus_monai.inference.batch import segment_inputs
    from bus_monai.inference.results import RESULTS_FILE
    from bus_monai.inference.segment_file import SegmentSettings
    from bus_monai.inference.write_outputs import parse_kinds

    if bool(inputs) == bool(dicomweb) or bool(dicomweb) != bool(study) or (series and not study):
        raise UserError("There is no one source: give INPUT, or --dicomweb URL with --study UID.")
    runner = _executor(engine, ray_address, ray_workers)
    settings = SegmentSettings(parse_kinds(write), threshold, modality, min_area, any_body_part)
    # a process for each core, whose network needs no second one
    predictor = options.load_predictor(model, backend, tta, sensitivity, trust, threads=1)
    if inputs:
        totals = segment_inputs(inputs, out, predictor, settings, restart=restart, executor=runner)
    else:
        from bus_monai.errors import need_package

        need_package("dicomweb_client")
        from bus_monai.pacs.dicomweb import TOKEN_VARIABLE, DicomWeb
        from bus_monai.pacs.segment_study import segment_study

        service = DicomWeb(dicomweb, os.environ.get(TOKEN_VARIABLE))
        totals = segment_study(
            service, study, out, predictor, settings, series=series or None, restart=restart, executor=runner
        )
    print(f"{totals['lesions']} lesions in {totals['done']} files: {out}")
    if dicomweb:
        print(f"{totals['stored']} results are at {dicomweb}.")
    results = f"'{out / RESULTS_FILE}'"
    for state, said in (
        ("skipped", f"files were left out, see 'reason' in {results}."),
        ("not assessed", "files show no breast and are not assessed, see 'reason' there."),
        ("crowded", f"files have more lesions in a frame than are kept, see 'note' in {results}."),
        ("failed", f"files could not be segmented, see {results}."),
        ("lost", "instances could not be fetched: run the command again."),
        ("refused", "results are not stored: run the command again."),
    ):
        if totals[state]:
            print(totals[state], said)
    if totals["failed"] or totals["lost"] or totals["refused"]:
        raise typer.Exit(1)


def _executor(name: str, address: str | None, workers: int | None) -> Executor:
    check_choice("--engine", name, ("local", "ray"))
    if name == "ray":
        from bus_monai.inference.executors.ray import RayExecutor

        return RayExecutor(address, workers)
    if address or workers:
        raise UserError("--ray-address and --ray-workers are for --engine ray: add it, or leave them out.")
    from bus_monai.inference.executors.local import MAX_PROCESSES, LocalExecutor, usable_cores

    return LocalExecutor(min(usable_cores(), MAX_PROCESSES))
