"""The label server, run in the environment of MONAI Label: ``python -m bus_monai.label.serve``."""

from __future__ import annotations

import argparse
import errno
import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bus_monai.label.compatibility  # noqa: F401 - before monailabel, see there
from bus_monai.errors import UserError, as_user_error
from bus_monai.label.access import TOKEN_PARAMETER, TOKEN_PATH, Access, Guard, RefusedError
from bus_monai.pacs.address import KEY_PASSWORD_VARIABLE

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_THREADS = 8
"""Requests that are worked on at a time; each may hold a decoded image."""
TOKEN_BYTES = 32
CONFLICT, FULL_DISK = 409, 507
"""Status of HTTP: a name is taken by something else, and Insufficient Storage."""
NAMES_IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR)


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
    parser.add_argument("--no-token", action="store_true")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    given = parser.parse_args()
    token = None if given.no_token else secrets.token_urlsafe(TOKEN_BYTES)
    try:
        access = Access.of(token, given.host, given.port, _origins())
        bound = bind(given.host, given.port)
        # before anything of MONAI Label is imported, which reads them once
        _settle(given.studies, given.models, given.port, trust=given.trust)
        server = make_server(access)
        # made here, for the server would print a traceback
        _make_app()
    except Exception as error:
        sentence = as_user_error(error)
        if sentence is None:
            raise
        print(f"bus-monai: {sentence}", file=sys.stderr)
        sys.exit(2)
    import uvicorn

    scheme = "https" if given.tls_cert else "http"
    print(greeting(access, scheme, given.host, given.port, json.loads(given.models), given.studies), flush=True)
    config = uvicorn.Config(
        server,
        log_level="warning",
        ssl_certfile=given.tls_cert,
        ssl_keyfile=given.tls_key,
        ssl_keyfile_password=os.environ.pop(KEY_PASSWORD_VARIABLE, None),
    )
    uvicorn.Server(config).run(sockets=[bound])


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at an address.

    Raises:
        UserError: there is no such address here, or another program has it.
    """
    try:
        # with its protocol, else asyncio sends small answers late
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UserError(
            f"The server cannot listen on port {port} of '{host}' ({error.strerror}): give another --port or --host.",
            key="--port",
        ) from error
    return bound


def _make_app() -> None:
    from monailabel.interfaces.utils.app import app_instance

    app_instance().server_mode(True)


def greeting(access: Access, scheme: str, host: str, port: int, models: list[str], studies: str) -> str:
    """Return what is printed at the start: the addresses of the page and for clients, with the token."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    address = f"{scheme}://{name}:{port}"
    if access.token is None:
        return f"{address}/bus/ offers {', '.join(models)} for {studies}, to whoever reaches it"
    return (
        f"{address}/bus/?{TOKEN_PARAMETER}={access.token} offers {', '.join(models)} for {studies}\n"
        f"{address}{TOKEN_PATH}{access.token} is the address for 3D Slicer and MONAI Label's client"
    )


def make_server(access: Access) -> Any:
    """Return the server; its settings are in the environment.

    It answers what MONAI Label's clients ask for, by routes of our own: those of MONAI Label work in the event loop, so
    that one request keeps all others waiting, leave files behind when one is refused, and change weights.
    """
    from contextlib import asynccontextmanager

    from anyio.to_thread import current_default_thread_limiter
    from fastapi import FastAPI
    from fastapi.middleware.cors import CORSMiddleware

    from bus_monai.label import page_routes, store_routes, task_routes
    from bus_monai.label.access import login_router

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        current_default_thread_limiter().total_tokens = MAX_THREADS
        yield

    app = FastAPI(title="MONAI Label for breast ultrasound", docs_url=None, redoc_url=None, lifespan=lifespan)
    _say_errors(app)
    for routes in (task_routes.router, store_routes.router, page_routes.viewers, login_router(access)):
        app.include_router(routes)
    page_routes.add_page(app)
    app.add_middleware(Guard, access=access)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(access.origins),
            allow_credentials=True,
            allow_methods=["*"],
            allow_headers=["*"],
        )
    return app


def _say_errors(app: FastAPI) -> None:
    """Answer errors with one sentence each."""
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from monailabel.interfaces.exception import MONAILabelException

    from bus_monai.label.store import UnknownImageError, VersionConflictError

    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, status_code=error.status)

    async def user_error(request: Request, error: UserError) -> JSONResponse:
        status = {UnknownImageError: 404, VersionConflictError: CONFLICT}.get(type(error), 400)
        return JSONResponse({"detail": str(error)}, status_code=status)

    async def odd_value(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where, name = str(first["loc"][0]), ".".join(map(str, first["loc"][1:]))
        sentence = f"'{name}' of the {where} cannot be used ({first['msg']}): correct it."
        return JSONResponse({"detail": sentence}, status_code=422)

    async def system_error(request: Request, error: OSError) -> JSONResponse:
        sentence = as_user_error(error)
        if sentence is None:
            raise error
        status = CONFLICT if error.errno in NAMES_IN_THE_WAY else FULL_DISK
        return JSONResponse({"detail": str(sentence)}, status_code=status)

    async def label_error(request: Request, error: MONAILabelException) -> JSONResponse:
        return JSONResponse({"detail": error.msg}, status_code=404)

    for kind, handler in (
        (RefusedError, refused),
        (UserError, user_error),
        (RequestValidationError, odd_value),
        (OSError, system_error),
        (MONAILabelException, label_error),
    ):
        app.exception_handler(kind)(handler)


def _origins() -> list[str]:
    """Return the sites whose pages may ask, a JSON list; not left in the environment, for a training dies of it."""
    text = os.environ.pop("MONAI_LABEL_CORS_ORIGINS", "[]")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _no_list(text) from error
    if not isinstance(found, list) or not all(isinstance(site, str) for site in found):
        raise _no_list(text)
    return found


def _no_list(text: str) -> UserError:
    return UserError(
        f"MONAI_LABEL_CORS_ORIGINS is {text!r}: give a JSON list of sites, such as '[\"https://viewer.example\"]'.",
        key="MONAI_LABEL_CORS_ORIGINS",
    )


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
    from monailabel.config import settings

    for name, value in type(settings)():  # they were read from the environment when MONAI Label was imported, above
        setattr(settings, name, value)


if __name__ == "__main__":
    main()
