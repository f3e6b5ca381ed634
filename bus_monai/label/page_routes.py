"""The annotation page of the label server, with its images and labels."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from PIL import Image

from bus_monai.errors import check_number
from bus_monai.label.label_file import (
    OUTLINE_TOLERANCE_PX,
    fill_contours,
    image_shape,
    label_contours,
    read_labels,
    usual_suffix,
    write_labels,
)
from bus_monai.label.received import JsonBody
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.sources.read import read_source

PAGE_FOLDER = Path(__file__).parent / "page"
FINAL_TAG = DefaultLabelTag.FINAL.value


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
