"""A Python environment for MONAI Label on top of ours, and the models it offers."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from filelock import FileLock

from bus_monai.bundle.models import parse_models
from bus_monai.bundle.registry import input_modality, list_bundles, output_format, require_ultrasound
from bus_monai.errors import UserError
from bus_monai.io.atomic import cache_folder, check_writable
from bus_monai.pacs.address import is_loopback

LABEL_PACKAGES = (
    "monailabel==0.8.5",
    "pydicom-seg==0.4.1",
    # what monailabel imports when its server starts
    "SimpleITK>=2.3",
    "bcrypt>=4.1.2",
    "dicomweb-client>=0.59.1",
    "diskcache>=5.6",
    "expiring-dict>=1.1.0",
    "girder-client>=3.2.3",
    "httpcore>=1.0",
    "httpx>=0.27.0",
    "jsonschema>=4.20",
    "jsonschema-specifications>=2023.11",
    "passlib>=1.7.4",
    "psutil>=5.9",
    "pydantic-settings>=2.2.1",
    "pyjwt>=2.13.0",
    "pynrrd>=1.0.0",
    "python-multipart>=0.0.32",
    "referencing>=0.31",
    "requests-toolbelt>=1.0.0",
    "retrying>=1.3",
    "rpds-py>=0.15",
    "schedule>=1.2.1",
    "setuptools<81; python_version >= '3.12'",  # distutils, which Python no longer has
    "legacy-cgi; python_version >= '3.13'",
    "sortedcontainers>=2.4",
    "timeloop>=1.0.2",
    "watchdog>=4.0.0",
)
"""Installed without what they ask for.

MONAI Label 0.8.5 cannot be an extra of this package: it asks for numpymaxflow 0.0.7 (``numpy<2``), pydicom-seg 0.4.1
(``numpy<2``, ``jsonschema<4``) and sam2, which is built from source against a torch of its own. Its server needs none
of these limits: numpymaxflow is for scribbles in volumes, sam2 is optional, and pydicom-seg, which it imports, is not
called here. So the environment sees our packages, in our versions, and adds these.
"""
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
"""Their versions, the same wherever the environment is made."""
READY_MARK = ".ready"


def label_environment() -> Path:
    """Make the environment once, in the cache folder, and return its Python.

    Raises:
        UserError: the packages cannot be installed.
    """
    # another Python, place of ours, list of packages or of versions makes another one
    ours = sysconfig.get_paths()["purelib"]
    made_of = (sys.version, ours, *LABEL_PACKAGES, CONSTRAINTS.read_text(encoding="utf-8"))
    key = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:12]
    folder = cache_folder() / f"monailabel-{key}"
    python = folder / "bin" / "python"
    if (folder / READY_MARK).is_file():  # where it lies may be read-only
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    # who comes while it is made waits for it
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not (folder / READY_MARK).is_file():
            print(f"Making an environment for MONAI Label, once: {folder}", flush=True)
            _make(folder, python, ours)
            (folder / READY_MARK).touch()
    return python


def _make(folder: Path, python: Path, ours: str) -> None:
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True, text=True
        )
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "_bus_monai.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run(
            [*install, "--constraint", str(CONSTRAINTS), *LABEL_PACKAGES], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or error.stdout or "no message").strip().splitlines()[-1]
        raise UserError(
            f"The environment '{folder}' for MONAI Label cannot be made ({reason}): see that pip reaches a package "
            "index, and run the command again."
        ) from error


logger = logging.getLogger("bus_monai")


def offered_models(text: str, *, trust: bool = False) -> list[str]:
    """Read models joined by commas; without any, name every segmenter of ultrasound that has weights.

    Args:
        text: the models.
        trust: see :func:`~bus_monai.bundle.registry.find_bundle`.

    Raises:
        UserError: a model that there is not, that is not trusted or segments no ultrasound, or there is none.
    """
    specs = [word.strip() for word in text.split(",") if word.strip()]
    if not specs:
        specs = [info.name for info in list_bundles() if info.weights and _segments(info.root)]
    if not specs:
        raise UserError("No bundle has weights: train one, or give --bundles BUNDLE:WEIGHTS.")
    for model in parse_models(specs, segmenters=True, trust=trust):
        require_ultrasound(model.bundle)
    return specs


def check_studies(studies: str) -> str:
    """Return the URL as it is, or the folder's full path.

    Raises:
        UserError: there is no such folder, or labels cannot be written to it.
    """
    if studies.startswith(("http://", "https://")):
        return studies.rstrip("/")
    folder = Path(studies).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f"--studies '{studies}' is no folder: give a folder of images, or the URL of a DICOMweb server."
        )
    return str(check_writable(folder))


def check_login() -> None:
    """Check that nobody relies on MONAI Label's login by Keycloak.

    Raises:
        UserError: somebody does; MONAI Label 0.8.5 calls PyJWT as its version 1 was called, and accepts no login.
    """
    if os.environ.get("MONAI_LABEL_AUTH_ENABLE", "").lower() not in ("", "0", "f", "false", "n", "no", "off"):
        raise UserError(
            "MONAI_LABEL_AUTH_ENABLE asks for a login by Keycloak, which MONAI Label 0.8.5 accepts from nobody: unset "
            "it, and log in with the token that is printed.",
            key="MONAI_LABEL_AUTH_ENABLE",
        )


def warn_if_open(host: str) -> None:
    """Warn where other computers reach a server that asks for no token."""
    if not is_loopback(host):
        logger.warning(
            "The server listens on %s and asks for no token: whoever reaches it sees and changes images and labels; "
            "leave out --no-token.",
            host,
        )


def _segments(bundle: Path) -> bool:
    return output_format(bundle) == "segmentation" and input_modality(bundle) == "US"
