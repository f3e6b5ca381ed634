"""``bus-monai label``."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from bus_monai.cli.options import Trust, stoppable


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
) -> None:
    """Serve MONAI Label: label images with the models, and train the models on the labels. Not for clinical use.

    The first time it makes an environment for MONAI Label in the cache folder. Connect 3D Slicer or MONAI Label's
    client to the address that it prints.
    """
    from bus_monai.label.environment import check_studies, label_environment, offered_models, warn_if_open

    where, models = check_studies(studies), offered_models(bundles, trust=trust)
    warn_if_open(host)
    python = label_environment()
    print(f"http://{host}:{port} offers {', '.join(models)} for {where}", flush=True)
    arguments = ["--studies", where, "--models", json.dumps(models), "--port", str(port), "--host", host]
    arguments += ["--trust"] if trust else []
    # in place of this process, so that whoever stops it stops the server
    os.execv(python, [str(python), "-m", "bus_monai.label.serve", *arguments])
