"""``bus-monai label``."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from bus_monai.cli.options import TlsCert, TlsKey, Trust, stoppable, tls_files


@stoppable()
def label(
    studies: Annotated[
        str, typer.Option(metavar="DIR|URL", help="Folder of ultrasound images, or the URL of a DICOMweb server.")
    ],
    bundles: Annotated[
        str, typer.Option(metavar="BUNDLE[:WEIGHTS],...", help="Models; by default all segmenters that have weights.")
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is reached from other computers.")] = (
        "127.0.0.1"
    ),
    trust: Trust = False,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let in whoever reaches the port, without the token that is printed.")
    ] = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Serve MONAI Label: label images with the models, and train the models on the labels. Not for clinical use.

    The first time it makes an environment for MONAI Label in the cache folder. It prints two addresses with a token
    that is new at each start, without which nobody gets in: one to open in a browser, one for 3D Slicer and MONAI
    Label's client. Other programs send 'Authorization: Bearer TOKEN'. The JSON list MONAI_LABEL_CORS_ORIGINS names
    other sites by which the server is reached, or whose pages may ask.
    """
    from bus_monai.label.environment import check_login, check_studies, label_environment, offered_models, warn_if_open

    check_login()
    if tls := tls_files(tls_cert, tls_key):
        tls.server_context()
    where, models = check_studies(studies), offered_models(bundles, trust=trust)
    if no_token:
        warn_if_open(host)
    python = label_environment()
    arguments = ["--studies", where, "--models", json.dumps(models), "--port", str(port), "--host", host]
    arguments += ["--no-token"] * no_token + ["--trust"] * trust
    arguments += [f"--tls-cert={tls_cert}", f"--tls-key={tls_key}"] * bool(tls)
    # Python 3.11 on: a program in the folder at hand, which may be that of the images, is not taken for a module
    os.environ["PYTHONSAFEPATH"] = "1"
    # in place of this process, so that whoever stops it stops the server
    os.execv(python, [str(python), "-m", "bus_monai.label.serve", *arguments])
