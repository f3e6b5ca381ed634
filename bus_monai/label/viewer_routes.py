"""OHIF, which comes with MONAI Label, and the images of a DICOMweb server for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import monailabel
import requests
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response
from monailabel.config import settings
from monailabel.utils.others.generic import get_mime_type

from bus_monai.pacs.dicomweb import MAX_BYTES, TIMEOUTS_S, TOKEN_VARIABLE, BoundedSession

STATIC = Path(monailabel.__file__).parent / "endpoints" / "static"
# a resource of DICOMweb and none of what else the server offers, PS3.18 10.4 and 10.6
RESOURCE = re.compile(r"(studies|series|instances)(/(?!\.+(/|$))[\w.,-]+)*")
router = APIRouter()


@router.get("/favicon.ico")
def icon() -> FileResponse:
    """Return the icon of the pages."""
    return FileResponse(STATIC / "favicon.ico")


@router.get("/ohif/{path:path}")
def ohif(path: str) -> FileResponse:
    """Return a file of OHIF, or its page, which reads the rest of the address."""
    files = {file.relative_to(STATIC / "ohif").as_posix(): file for file in (STATIC / "ohif").rglob("*")}
    file = files.get(path, STATIC / "ohif" / "index.html")
    if not file.is_file():
        raise HTTPException(404, "There is no such file.")
    return FileResponse(file, media_type=get_mime_type(file.name))


@router.get("/proxy/dicom/{service}/{path:path}")
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
