"""Images and labels of the store, as MONAI Label's clients ask for them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response, StreamingResponse
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from starlette.datastructures import UploadFile

from bus_monai.data.readers.own_images import split_suffix
from bus_monai.errors import UserError, check_choice
from bus_monai.io.masks import label_suffix
from bus_monai.io.opened import CHUNK_BYTES
from bus_monai.label.records import client_record
from bus_monai.label.request import Form, FormBody, scratch, uploaded
from bus_monai.label.store import LabelStore, final_labels

ONLY_USER = "admin"
"""Whom MONAI Label names where nobody logs in."""
OWN_KEYS = ("dice", "name", "path", "strategy", "ts", "uncertainty")
"""What the server itself keeps with an image."""
CHECKSUMS = ("SHA256", "SHA512", "MD5")
router = APIRouter(prefix="/datastore")


@router.get("/")
def list_datastore(output: Literal["all", "train", "stats"] = "stats") -> Any:
    """Return how many images and labels there are, all of them, or the pairs of both."""
    store = _store()
    return {"all": store.json, "train": store.datalist, "stats": store.status}[output]()


@router.put("/")
@router.put("/image")
def add_image(form: FormBody, image: str = "") -> dict[str, str]:
    """Add an image that can be read."""
    file = form.file("file")
    name, suffix = sent_name(file)
    info = {**_info(form, "params"), "user": ONLY_USER}
    with uploaded(file, f"image{suffix}") as path:
        return {"image": _store().add_image(image or name, str(path), info)}


def sent_name(file: UploadFile) -> tuple[str, str]:
    """Return the name of an image that was sent, and its suffix in small letters, empty where it is none of ours."""
    name, suffix = split_suffix(PurePosixPath((file.filename or "image.nii.gz").replace("\\", "/")).name)
    return name, suffix.lower()


@router.delete("/")
@router.delete("/image")
def remove_image(id: str) -> dict[str, str]:
    """Remove an image and its labels; their versions stay."""
    store = _store()
    store.get_image_uri(id)
    store.remove_image(id)
    return {}


@router.head("/image")
def check_image(image: str, check_sum: str = "") -> Response:
    """Tell whether there is an image, and of that content where ``check_sum`` says which, such as ``SHA256:ab12``."""
    path = _store().image_path(image)
    if check_sum:
        algorithm, _, digest = check_sum.rpartition(":")
        check_choice("check_sum", algorithm or CHECKSUMS[0], CHECKSUMS)
        if digest.lower() != _digest(path, algorithm or CHECKSUMS[0]):
            raise HTTPException(404, f"The image '{image}' is another one: download it again.")
    return Response()


@router.get("/image")
def download_image(image: str) -> FileResponse:
    """Return the file of an image."""
    path = _store().image_path(image)
    return FileResponse(path, filename=path.name)


@router.get("/image/info")
def image_info(image: str) -> dict[str, Any]:
    """Return what is kept with an image."""
    store = _store()
    store.get_image_uri(image)
    found: dict[str, Any] = store.get_image_info(image)
    return found


@router.put("/image/info")
def update_image_info(form: FormBody, image: str) -> None:
    """Keep more with an image."""
    _store().update_image_info(image, {**_info(form, "info"), "user": ONLY_USER})


@router.put("/label")
def save_label(form: FormBody, image: str, tag: str = "") -> dict[str, str]:
    """Save a label of the image's size."""
    file = form.file("label")
    suffix = label_suffix(Path(file.filename or "label.nii.gz").name)
    with uploaded(file, f"label{suffix}") as path:
        record = client_record(form.object("params"))
        label = _store().save_label(image, str(path), tag or DefaultLabelTag.FINAL.value, record)
    return {"image": image, "label": label}


@router.delete("/label")
def remove_label(id: str, tag: str) -> dict[str, str]:
    """Remove a label; its versions stay."""
    _label(id, tag)
    _store().remove_label(id, tag)
    return {}


@router.head("/label")
def check_label(image: str, tag: str) -> Response:
    """Tell whether there is a label."""
    _label(image, tag)
    return Response()


@router.get("/label")
def download_label(label: str, tag: str) -> FileResponse:
    """Return the file of a label."""
    path = _label(label, tag)
    return FileResponse(path, filename=path.name)


@router.get("/label/info")
def label_info(label: str, tag: str) -> dict[str, Any]:
    """Return what is kept with a label."""
    _label(label, tag)
    found: dict[str, Any] = _store().get_label_info(label, tag)
    return found


@router.put("/label/info")
def update_label_info(form: FormBody, label: str, tag: str) -> None:
    """Keep more with a label."""
    _label(label, tag)
    _store().update_label_info(label, tag, {**_info(form, "info"), "user": ONLY_USER})


@router.put("/updatelabelinfo")
def update_label_params(form: FormBody, label: str, tag: str) -> None:
    """Keep more with a label, as older clients ask for it."""
    _label(label, tag)
    _store().update_label_info(label, tag, {**_info(form, "params"), "user": ONLY_USER})


@router.get("/dataset")
def download_dataset(limit_cases: int = 0) -> StreamingResponse:
    """Return the images with a final label, their labels and what is kept with them, as a ZIP archive."""
    store = _store()
    names = sorted(final_labels(store))
    if not names:
        raise HTTPException(404, "No image has a final label: label one first.")
    return StreamingResponse(
        _archive(store, names[:limit_cases] if limit_cases > 0 else names),
        media_type="application/zip",
        headers={"content-disposition": 'attachment; filename="dataset.zip"'},
    )


def _archive(store: LabelStore, names: list[str]) -> Iterator[bytes]:
    labels = final_labels(store)

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, mode="w") as archive:
            for name in names:
                for kind, path in (("image", store.image_path(name)), ("label", labels[name])):
                    suffix = path.name.removeprefix(PurePosixPath(name).name)
                    archive.write(path, arcname=f"{kind}/{name}{suffix}")
            archive.writestr("metadata.json", json.dumps(store.json(), default=str))

    with scratch(write) as file:
        while part := file.read(CHUNK_BYTES):
            yield part


def _label(image: str, tag: str) -> Path:
    path = _store().label_path(image, tag)
    if not path.is_file():
        raise HTTPException(404, f"The image '{image}' has no label '{tag}': GET /datastore/?output=all lists them.")
    return path


def _info(form: Form, name: str) -> dict[str, Any]:
    info = form.object(name)
    if own := sorted(info.keys() & set(OWN_KEYS)):
        raise UserError(f"{name} holds '{own[0]}', which the server itself keeps: leave it out.", key=own[0])
    return info


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm.lower(), usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _store() -> LabelStore:
    store: LabelStore = app_instance().store
    return store
