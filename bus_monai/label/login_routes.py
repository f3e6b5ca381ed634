"""MONAI Label's own login, by which 3D Slicer and MONAI Label's client get the token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request

from bus_monai.label.access import KNOWN, Access
from bus_monai.label.received import FormBody


def login_router(access: Access) -> APIRouter:
    """Return the routes, for which any name will do, and the token is the password."""
    router = APIRouter(prefix="/auth")

    @router.get("/")
    async def is_enabled(request: Request) -> dict[str, Any]:  # at once, whatever the threads have to do
        needed = access.token is not None and not request.scope.get(KNOWN, False)
        return {"enabled": needed, "client_id": "bus_monai", "realm": ""}

    @router.post("/token")
    def log_in(form: FormBody) -> dict[str, str | None]:
        if access.token is None:
            return {"access_token": None, "token_type": None}
        if not access.is_token(form.texts.get("password", "")):
            raise HTTPException(
                401, "This is not the password: give any name, and the token that 'bus-monai label' printed."
            )
        return {"access_token": access.token, "token_type": "Bearer"}

    @router.get("/token/valid")
    def is_valid() -> dict[str, Any]:
        return {"username": "annotator", "email": None, "name": None, "roles": []}

    return router
