"""The annotation page of the label server with its images and labels, and the viewers that MONAI Label brings."""

from __future__ import annotations

import io
import os
import re
import tempfile
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

from bus_monai.data.label_file import image_shape, read_labels, usual_suffix, write_labels
from bus_monai.errors import check_number
from bus_monai.label.label_file import OUTLINE_TOLERANCE_PX, fill_contours, label_contours
from bus_monai.label.received import JsonBody
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.pacs.dicomweb import MAX_BYTES, TIMEOUTS_S, TOKEN_VARIABLE, BoundedSession
from bus_monai.sources.read import read_source

PAGE_FOLDER = Path(__file__).parent / "page"
FINAL_TAG = DefaultLabelTag.FINAL.value
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
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, format="PNG")
    return Response(file.getvalue(), media_type="image/png")


def _outline_label(image: str, tolerance: float = OUTLINE_TOLERANCE_PX) -> dict[str, Any]:
    check_number("tolerance", tolerance, at_least=0)
    store = _store()
    shape = image_shape(store.image_path(image))
    path = final_labels(store).get(image)
    contours = [] if path is None else label_contours(list(read_labels(path, shape)), tolerance=tolerance)
    return {"frames": shape[0], "rows": shape[1], "columns": shape[2], "contours": contours}


def _save_label(image: str, sent: JsonBody) -> dict[str, Any]:
    store = _store()
    path = store.image_path(image)
    labels = fill_contours(sent.get("contours"), image_shape(path))
    suffix = usual_suffix(len(labels), path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"label{suffix}"
        write_labels(list(labels), path, file)
        store.save_label(image, str(file), FINAL_TAG, {})
    return {"version": store.get_label_info(image, FINAL_TAG)["version"]}


def _list_versions() -> dict[str, Any]:
    return {name: versions.info() for name, versions in app_instance().models.items()}


def _roll_back(model: str) -> dict[str, int]:
    return {"active": app_instance().versions(model).roll_back()}


def _activate(model: str, number: int) -> dict[str, int]:
    app_instance().versions(model).activate(number)
    return {"active": number}


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
