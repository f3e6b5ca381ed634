"""The label server, run in the environment of MONAI Label: ``python -m bus_monai.label.serve``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import bus_monai.label.compatibility  # noqa: F401 - before monailabel, see there
from bus_monai.errors import UserError, as_user_error

if TYPE_CHECKING:
    from fastapi import Response

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_foreign(method: str, headers: Mapping[str, str], trusted: Collection[str]) -> bool:
    """Tell whether a request that may change something comes from a page of another site.

    Browsers send a plain POST of any page anywhere, with the cookies, and ask for no leave first (OWASP, Cross-Site
    Request Forgery Prevention). They do say where it comes from; programs that are no browser say nothing.

    Args:
        method: of HTTP.
        headers: of the request, by lower-case names.
        trusted: origins whose pages may, such as ``https://viewer.example``; ``*`` stands for all.
    """
    origin = headers.get("origin")
    if method in SAFE_METHODS or origin is None or origin in trusted or "*" in trusted:
        return False
    site = headers.get("sec-fetch-site")
    # what the browser itself compared; a proxy may have changed the host
    return site not in ("same-origin", "none") if site else urlsplit(origin).netloc != headers.get("host")


def main() -> None:
    """Serve until stopped.

    Where the user can fix what keeps it from starting, it says so in a sentence and ends with exit code 2.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--trust", action="store_true")
    given = parser.parse_args()
    # before anything of MONAI Label is imported, which reads them once
    _settle(given.studies, given.models, given.port, trust=given.trust)

    import uvicorn
    from monailabel.interfaces.utils.app import app_instance

    server = make_server()
    try:
        app_instance()  # made here, for the server would print a traceback
    except Exception as error:
        sentence = as_user_error(error)
        if sentence is None:
            raise
        print(f"bus-monai: {sentence}", file=sys.stderr)
        sys.exit(2)
    uvicorn.run(server, host=given.host, port=given.port, log_level="warning")


def make_server() -> Any:
    """Return MONAI Label's server with our errors and the versions of models; its settings are in the environment."""
    import monailabel.endpoints.infer as infer
    from fastapi import Depends, Request
    from fastapi.responses import JSONResponse
    from monailabel.app import app
    from monailabel.config import settings
    from monailabel.endpoints.user.auth import RBAC
    from monailabel.interfaces.exception import MONAILabelException
    from monailabel.interfaces.utils.app import app_instance

    from bus_monai.label.page_routes import add_page

    run = infer.run_inference

    def run_inference(
        tasks: Any, model: str, image: str, session: str, params: str, file: Any, label: Any, output: Any = None
    ) -> Any:
        # MONAI Label's own way to DICOM SEG takes volumes alone
        if output == "dicom_seg":
            params = json.dumps(json.loads(params or "{}") | {"result_extension": ".dcm"})
            output = infer.ResultType.image
        return run(tasks, model, image, session, params, file, label, output)

    infer.run_inference = run_inference

    async def user_error(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=400)

    async def system_error(request: Request, error: OSError) -> JSONResponse:
        sentence = as_user_error(error)
        if sentence is None:
            raise error
        return JSONResponse({"detail": str(sentence)}, status_code=507)

    async def label_error(request: Request, error: MONAILabelException) -> JSONResponse:
        return JSONResponse({"detail": error.msg}, status_code=404)

    async def refuse_foreign(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if not is_foreign(request.method, request.headers, settings.MONAI_LABEL_CORS_ORIGINS):
            return await answer(request)
        detail = (
            f"A page of {request.headers['origin']} may not do this: name it in MONAI_LABEL_CORS_ORIGINS to let it."
        )
        return JSONResponse({"detail": detail}, status_code=403)

    def versions() -> dict[str, Any]:
        return {name: versions.info() for name, versions in app_instance().models.items()}

    def roll_back(model: str) -> dict[str, int]:
        return {"active": app_instance().versions(model).roll_back()}

    def activate(model: str, number: int) -> dict[str, int]:
        app_instance().versions(model).activate(number)
        return {"active": number}

    app.exception_handler(UserError)(user_error)
    app.exception_handler(OSError)(system_error)
    app.exception_handler(MONAILabelException)(label_error)
    app.middleware("http")(refuse_foreign)
    user, admin = (
        [Depends(RBAC(role))] for role in (settings.MONAI_LABEL_AUTH_ROLE_USER, settings.MONAI_LABEL_AUTH_ROLE_ADMIN)
    )
    app.get("/bus/models", dependencies=user)(versions)
    app.post("/bus/models/{model}/rollback", dependencies=admin)(roll_back)
    app.post("/bus/models/{model}/activate/{number}", dependencies=admin)(activate)
    add_page(app, user)
    return app


def _settle(studies: str, models: str, port: int, *, trust: bool = False) -> None:
    """Write MONAI Label's settings where it and the processes that it starts look for them."""
    app = Path(__file__).parent
    os.environ |= {
        "MONAI_LABEL_APP_DIR": str(app),
        "MONAI_LABEL_STUDIES": studies,
        "MONAI_LABEL_APP_CONF": json.dumps({"models": models} | ({"trust": "yes"} if trust else {})),
        "MONAI_LABEL_SERVER_PORT": str(port),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        "MONAI_LABEL_SESSIONS": "false",
        # it is taken for granted when a training starts
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    # by default every web page that somebody has open may ask for the images; not in the environment, for a training
    # cannot print it there, and dies
    origins = os.environ.pop("MONAI_LABEL_CORS_ORIGINS", json.dumps([f"http://127.0.0.1:{port}"]))
    from monailabel.config import settings

    for name, value in type(settings)():  # they were read from the environment when MONAI Label was imported, above
        setattr(settings, name, value)
    settings.MONAI_LABEL_CORS_ORIGINS = json.loads(origins)


if __name__ == "__main__":
    main()
