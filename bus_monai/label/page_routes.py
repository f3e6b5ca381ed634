"""The annotation page of the label server with its images and labels, and the viewers that MONAI Label brings."""

from __future__ import annotations

import io
import os
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import monailabel
import numpy as np
import requests
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from PIL import Image

from bus_monai.data.datalist import check_fields
from bus_monai.data.readers.own_images import ORIGINAL_TAG
from bus_monai.dicom.read import header_text
from bus_monai.errors import UserError, check_number
from bus_monai.geometry.lesion import label_components, measure_lesions
from bus_monai.io.masks import read_labels, usual_suffix, write_labels
from bus_monai.io.opened import open_source
from bus_monai.label.contours import (
    OUTLINE_TOLERANCE_PX,
    fill_contours,
    interpolate_contours,
    label_contours,
    read_polygons,
)
from bus_monai.label.records import Drafts, check_annotator, read_record
from bus_monai.label.request import JsonBody
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.pacs.dicomweb import MAX_BYTES, TIMEOUTS_S, TOKEN_VARIABLE, BoundedSession
from bus_monai.sources.read import image_shape, read_source

PAGE_FOLDER = Path(__file__).parent / "page"
FINAL_TAG = DefaultLabelTag.FINAL.value
IMPORTED = "imported"
"""In place of a model's name, of masks that somebody put there to be corrected."""
DRAFTS_FOLDER = "drafts"
USUAL_FRAME_MS = 50.0
"""Of a cine that does not say."""
MEASURES = ("long_axis", "short_axis", "unit")
STATIC = Path(monailabel.__file__).parent / "endpoints" / "static"
# a resource of DICOMweb and none of what else the server offers, PS3.18 10.4 and 10.6
RESOURCE = re.compile(r"(studies|series|instances)(/(?!\.+(/|$))[\w.,-]+)*")


def add_page(app: FastAPI) -> None:
    """Serve the page as ``/bus/``, with its images and labels and the versions of the models."""
    router = APIRouter(prefix="/bus")
    router.get("/images")(_list_images)
    router.get("/frame")(_show_frame)
    router.get("/label")(_outline_label)
    router.put("/label")(_save_label)
    router.put("/draft")(_keep_draft)
    router.delete("/draft")(_drop_draft)
    router.post("/measures")(_measure)
    router.post("/interpolated")(_interpolate)
    router.get("/models")(_list_versions)
    router.post("/models/{model}/rollback")(_roll_back)
    router.post("/models/{model}/activate/{number}")(_activate)
    app.include_router(router)
    app.get("/")(lambda: RedirectResponse("/bus/"))
    app.mount("/bus", StaticFiles(directory=PAGE_FOLDER, html=True), name="bus")


def _list_images() -> list[dict[str, Any]]:
    store = _store()
    store.refresh()
    labeled = final_labels(store)
    return [{"id": name, "labeled": name in labeled} for name in sorted(store.list_images())]


def _show_frame(image: str, frame: int = 0) -> Response:
    pixels = read_source(_store().image_path(image), frame).pixels
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, format="PNG", compress_level=1)
    return Response(file.getvalue(), media_type="image/png")


def _outline_label(image: str, annotator: str = "", tolerance: float = OUTLINE_TOLERANCE_PX) -> dict[str, Any]:
    """Return size and scale of an image, its label, and what this annotator has drawn since."""
    check_number("tolerance", tolerance, at_least=0)
    store = _store()
    source = store.image_path(image)
    shown = read_source(source)
    shape = (shown.frames, *shown.pixels.shape)
    path, record = _shown_label(store, image)
    contours = [] if path is None else label_contours(list(read_labels(path, shape)), tolerance=tolerance)
    return {
        **dict(zip(("frames", "rows", "columns"), shape, strict=True)),
        "spacing_mm": shown.spacing_mm,
        "regions": [{"box": box.sides, "spacing_mm": spacing} for box, spacing in shown.regions],
        "frame_ms": _frame_ms(source),
        "contours": contours,
        "version": store.label_version(image, FINAL_TAG),
        "record": record,
        "draft": _drafts().read(image, annotator) if annotator else None,
        "others": [name for name in _drafts().annotators(image) if name != annotator],
    }


def _shown_label(store: LabelStore, image: str) -> tuple[Path | None, dict[str, Any]]:
    """Return the final label of an image and how it was made, else one to correct, which nobody has looked at."""
    if path := final_labels(store).get(image):
        return path, store.get_label_info(image, FINAL_TAG)
    path = store.label_path(image, ORIGINAL_TAG)
    if not path.is_file():
        return None, {}
    info = store.get_label_info(image, ORIGINAL_TAG)
    version = info.get("params", {}).get("model_version", 0)
    return path, {"origin": "accepted", "model": info.get("model", IMPORTED), "model_version": version}


def _frame_ms(path: Path) -> float:
    with open_source(path) as source:
        text = header_text(source.header, "FrameTime") if source.kind == "dicom" else ""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{0,9})?", text) and float(text) else USUAL_FRAME_MS


def _save_label(image: str, sent: JsonBody) -> dict[str, Any]:
    store = _store()
    path = store.image_path(image)
    labels = fill_contours(sent.get("contours"), image_shape(path))
    record = read_record(sent)
    if record["normal"] == labels.any():
        raise UserError("A label has outlines, or says that there is no lesion by 'normal'.", key="normal")
    fields = check_fields(sent.get("fields"), app_instance().fields())
    check_number("replaces", sent.get("replaces"), at_least=0, whole=True)
    suffix = usual_suffix(len(labels), path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"label{suffix}"
        write_labels(list(labels), path, file)
        info = {**record, "fields": fields}
        store.save_label(image, str(file), FINAL_TAG, info, replaces=sent["replaces"])
    _drafts().remove(image, record["annotator"], tab=sent.get("tab"), seen=sent.get("seen"))
    return {"version": store.label_version(image, FINAL_TAG)}


def _keep_draft(image: str, annotator: str, sent: JsonBody) -> None:
    path = _store().image_path(image)
    read_polygons(sent.get("contours"), image_shape(path)[0])
    _drafts().keep(image, annotator, sent)


def _drop_draft(image: str, annotator: str, tab: str | None = None, seen: str | None = None) -> None:
    _store().image_path(image)
    _drafts().remove(image, annotator, tab=tab, seen=seen)


def _measure(image: str, sent: JsonBody, frame: int = 0) -> list[dict[str, Any]]:
    """Return the measures of the lesions of one frame by their outlines: axes of the largest part, area of all."""
    shown = read_source(_store().image_path(image), frame)
    labels = fill_contours(sent.get("contours"), (shown.frames, *shown.pixels.shape))[frame]
    measure = partial(measure_lesions, spacing_mm=shown.spacing_mm, regions=shown.regions, aspect=shown.aspect)
    found = []
    for number in (int(value) for value in np.unique(labels) if value):
        parts = measure(label_components(labels == number)[0])
        measures = {key: getattr(parts[0], key) for key in MEASURES}
        found.append({"label": number, **measures, "area": sum(part.area for part in parts)})
    return found


def _interpolate(image: str, sent: JsonBody, tolerance: float = OUTLINE_TOLERANCE_PX) -> Any:
    check_number("tolerance", tolerance, at_least=0)
    frames = image_shape(_store().image_path(image))[0]
    return interpolate_contours(sent.get("contours"), frames, tolerance=tolerance)


def _list_versions() -> dict[str, Any]:
    return {name: versions.info() for name, versions in app_instance().models.items()}


def _roll_back(model: str) -> dict[str, int]:
    return {"active": app_instance().versions(model).roll_back()}


def _activate(model: str, number: int, sent: JsonBody) -> dict[str, int]:
    annotator = check_annotator(sent.get("annotator"))
    app_instance().versions(model).activate(number, annotator)
    return {"active": number}


def _drafts() -> Drafts:
    return Drafts(_store().kept / DRAFTS_FOLDER)


def _store() -> LabelStore:
    store: LabelStore = app_instance().store
    return store


viewers = APIRouter()


@viewers.get("/favicon.ico")
def icon() -> FileResponse:
    """Return the icon of the pages."""
    return FileResponse(STATIC / "favicon.ico")


@viewers.get("/ohif/{path:path}")
def ohif(path: str) -> FileResponse:
    """Return a file of OHIF, or its page, which reads the rest of the address."""
    files = {file.relative_to(STATIC / "ohif").as_posix(): file for file in (STATIC / "ohif").rglob("*")}
    file = files.get(path, STATIC / "ohif" / "index.html")
    if not file.is_file():
        raise HTTPException(404, "There is no such file.")
    return FileResponse(file, media_type=get_mime_type(file.name))


@viewers.get("/proxy/dicom/{service}/{path:path}")
def dicomweb(request: Request, service: str, path: str) -> Response:
    """Return what the DICOMweb server answers, to whom nothing of this request is sent but what it accepts."""
    url = settings.MONAI_LABEL_STUDIES
    if not url.startswith(("http://", "https://")) or service not in ("qido", "wado"):
        raise HTTPException(404, "The images are in no DICOMweb server.")
    if not RESOURCE.fullmatch(path):
        raise HTTPException(404, "There is no such resource of DICOMweb.")
    session = BoundedSession(MAX_BYTES, os.environ.get(TOKEN_VARIABLE))
    headers = {"Accept": request.headers.get("accept", "*/*")}
    try:
        with session:
            found = session.get(f"{url}/{path}", headers=headers, timeout=TIMEOUTS_S)
    except requests.RequestException as error:
        raise HTTPException(502, "The DICOMweb server does not answer: ask again later.") from error
    return Response(found.content, found.status_code, media_type=found.headers.get("content-type"))
