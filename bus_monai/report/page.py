"""HTML pages of one file, without references to others."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure

from bus_monai import __version__
from bus_monai.io.atomic import atomic_file
from bus_monai.report.files import interval, number, p_value


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template of this folder and write the page.

    Args:
        path: of the page.
        template: file name; it extends ``page.html.jinja``.
        content: what the template names; figures through :func:`embed`.

    Raises:
        OSError: it cannot be written; no half page is left.
    """
    environment = Environment(
        loader=PackageLoader("bus_monai.report", "."),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"number": number, "interval": interval, "p_value": p_value, "version": __version__}
    with atomic_file(path) as partial:
        partial.write_text(environment.get_template(template).render(content), encoding="utf-8")
    return path


def embed(figure: Figure | Path) -> str:
    """Return a figure, or a PNG file, as the address of an image within a page."""
    if isinstance(figure, Path):
        content = figure.read_bytes()
    else:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110)
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode()
