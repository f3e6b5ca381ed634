"""Inference, trainings, scorings and the choice of the next image, as MONAI Label's clients ask for them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psutil
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response
from monailabel.endpoints.activelearning import sample
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder
from starlette.datastructures import UploadFile

from bus_monai.errors import UserError, did_you_mean
from bus_monai.label.request import FormBody, JsonBody, uploaded
from bus_monai.label.store_routes import ONLY_USER, sent_name

Kind: TypeAlias = Literal["train", "scoring", "batch_infer"]
RESERVED_KEYS = ("bundle_path", "image", "images", "method", "model", "strategy")
"""Keys of a request that its address decides on, or that name a folder whose code would run."""
GPUS = re.compile(r"all|\d+(,\d+)*")
router = APIRouter()


@router.get("/info/")
def info() -> Any:
    """Return what the server offers."""
    return app_instance().info()


@router.post("/activelearning/{strategy}")
def next_sample(strategy: str, params: JsonBody) -> Any:
    """Choose the next image to label."""
    _check_known("strategy", strategy, app_instance()._strategies)
    return sample(strategy, _settings(params), ONLY_USER)


@router.post("/infer/{model}")
def infer(
    model: str,
    form: FormBody,
    image: str = "",
    session_id: str = "",
    output: Literal["image", "json", "all", "dicom_seg"] = "all",
) -> Any:
    """Segment an image of the store, or one that is sent along."""
    app = app_instance()
    _check_known("model", model, app._infers)
    if session_id:
        raise no_sessions()
    request = {**_settings(form.object("params")), "model": model, "image": image}
    if output == "dicom_seg":  # MONAI Label's own way there takes volumes alone
        request["result_extension"] = ".dcm"
    elif output == "json" and not request.get("save_label"):  # so no mask is written that nobody gets
        request["result_extension"] = ".json"
    if "file" in form.files:
        file, params = _segment_sent(form.file("file"), request)
    elif image:
        result = app.infer(request)
        file, params = result["file"], result["params"]
    else:
        raise UserError("The request names no image: give ?image=ID, or send a 'file'.", key="image")
    return _answer(Path(file), params, output)


def _segment_sent(sent: UploadFile, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, suffix = sent_name(sent)
    with uploaded(sent, f"image{suffix}") as path:
        try:
            found: tuple[str, dict[str, Any]] = app_instance().segment(path, request)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name + suffix).replace(path.name, name + suffix)) from error
    return found


def _answer(file: Path, params: dict[str, Any], output: str) -> Any:
    try:
        content = file.read_bytes()
    finally:
        file.unlink()
    if output == "json":
        return params
    kind = get_mime_type(file.name)
    if output in ("image", "dicom_seg"):
        headers = {"content-disposition": f'attachment; filename="{file.name}"'}
        return Response(content, media_type="application/dicom" if output == "dicom_seg" else kind, headers=headers)
    parts = {"params": (None, json.dumps(params), "application/json"), "image": (file.name, content, kind)}
    encoder = MultipartEncoder(fields=parts)
    return Response(encoder.to_string(), media_type=encoder.content_type)


@router.get("/model/info/{model}")
def model_info(model: str) -> Any:
    """Return the hash of the active weights of a model, and its versions."""
    _check_known("model", model, app_instance()._infers)
    return app_instance().model_info(model)


@router.get("/model/{model}")
def download_model(model: str) -> FileResponse:
    """Return the active weights of a model."""
    _check_known("model", model, app_instance()._infers)
    path = Path(app_instance().model_file(model))
    return FileResponse(path, filename=model + path.suffix)


@router.get("/train/")
def training(all: bool = False, check_if_running: bool = False) -> Any:
    """Tell how far the training is."""
    return _status("train", all, check_if_running)


@router.post("/train/")
def train_all(params: JsonBody, run_sync: bool = False) -> dict[str, Any]:
    """Train every model, one after the other."""
    names = app_instance()._trainers
    requests = {name: _settings(_of_model(params, name, names)) for name in names}
    for name, task in names.items():
        task.settings(requests[name])
    return {name: {"result": _run("train", {"model": name}, requests[name], run_sync, True)} for name in names}


@router.post("/train/{model}")
def train(model: str, params: JsonBody, run_sync: bool = False, enqueue: bool = False) -> Any:
    """Train a model on the labels."""
    _check_known("model", model, app_instance()._trainers)
    wanted = _settings(params)
    app_instance()._trainers[model].settings(wanted)
    return _run("train", {"model": model}, wanted, run_sync, enqueue)


@router.delete("/train/")
def stop_training() -> Any:
    """Stop the training."""
    return _stop("train")


@router.get("/scoring/")
def scoring(all: bool = False, check_if_running: bool = False) -> Any:
    """Tell how far the scoring is."""
    return _status("scoring", all, check_if_running)


@router.post("/scoring/")
def score_all(params: JsonBody, run_sync: bool = False) -> dict[str, Any]:
    """Score in every way, one after the other."""
    names = app_instance()._scoring_methods
    requests = {name: _settings(_of_model(params, name, names)) for name in names}
    return {name: {"result": _run("scoring", {"method": name}, requests[name], run_sync, True)} for name in names}


@router.post("/scoring/{method}")
def score(method: str, params: JsonBody, run_sync: bool = False) -> Any:
    """Score labels or images."""
    _check_known("method", method, app_instance()._scoring_methods)
    return _run("scoring", {"method": method}, _settings(params), run_sync, False)


@router.delete("/scoring/")
def stop_scoring() -> Any:
    """Stop the scoring."""
    return _stop("scoring")


@router.get("/batch/infer")
def batch(all: bool = False, check_if_running: bool = False) -> Any:
    """Tell how far the segmentation of all images is."""
    return _status("batch_infer", all, check_if_running)


@router.post("/batch/infer/{model}")
def infer_batch(
    model: str,
    params: JsonBody,
    images: Literal["all", "labeled", "unlabeled"] = "all",
    run_sync: bool = False,
) -> Any:
    """Segment all images, and keep the results as labels."""
    _check_known("model", model, app_instance()._infers)
    return _run("batch_infer", {"model": model, "images": images}, _settings(params), run_sync, False)


@router.delete("/batch/infer")
def stop_batch() -> Any:
    """Stop the segmentation of all images."""
    return _stop("batch_infer")


@router.put("/session/", include_in_schema=False)
@router.get("/session/{session}", include_in_schema=False)
@router.delete("/session/{session}", include_in_schema=False)
def session() -> None:
    """Refuse: images come to stay, or with the request that segments them."""
    raise no_sessions()


def no_sessions() -> HTTPException:
    """Return what to say where a client asks for a session."""
    return HTTPException(406, "There are no sessions: send the image with PUT /datastore/, or along with /infer.")


def _check_known(key: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise HTTPException(404, f"There is no {key} '{name}'{did_you_mean(name, known)}: use {', '.join(known)}.")


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    if reserved := sorted(params.keys() & set(RESERVED_KEYS)):
        raise UserError(f"A request may not hold '{reserved[0]}': leave it out.", key=reserved[0])
    gpus = params.get("gpus", "all")
    if not isinstance(gpus, str) or not GPUS.fullmatch(gpus):
        raise UserError(f"gpus is {gpus!r}: give 'all' or numbers joined by commas.", key="gpus")
    return params


def _of_model(params: dict[str, Any], name: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set for all, and above that for the one of that name."""
    own = params.get(name, {})
    if not isinstance(own, dict):
        raise UserError(f"'{name}' is no object: send {{'{name}': {{...}}}}.", key=name)
    return {key: value for key, value in params.items() if key not in names} | own


def _run(kind: Kind, request: dict[str, Any], params: dict[str, Any], run_sync: bool, enqueue: bool) -> Any:
    if run_sync:
        raise UserError("run_sync would keep everybody waiting: leave it out, and ask how far it is.", key="run_sync")
    task, detail = AsyncTask.run(kind, request=request, params=params, enqueue=enqueue)
    if task is None:
        raise HTTPException(429, detail)
    return _told(task)


def _status(kind: Kind, every: bool, running: bool) -> Any:
    found, detail = AsyncTask.status(kind, every, running)
    if found is None:
        raise HTTPException(404, detail)
    return [_told(task) for task in found] if isinstance(found, list) else _told(found)


def _stop(kind: Kind) -> Any:
    try:
        task = AsyncTask.stop(kind)
    except psutil.NoSuchProcess:  # it ends by itself at this moment
        return None
    return task and _told(task)


def _told(task: dict[str, Any]) -> dict[str, Any]:
    """Return a copy, since the task goes on."""
    return {key: list(value) if key == "details" else value for key, value in dict(task).items()}
