"""One HTML page about a run: curves, examples, scores."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape
from matplotlib.figure import Figure

from bus_monai import __version__
from bus_monai.errors import UserError
from bus_monai.report.curves_figure import curves_figure
from bus_monai.report.files import EXAMPLES, HISTORY, REPORT, SUMMARY, read_history
from bus_monai.report.summary_table import interval, number


def write_run_report(folder: Path) -> Path:
    """Write ``report.html``, one file without references to others, from what training and evaluation left.

    Args:
        folder: the ``output_dir`` of both, with ``history.csv``, ``examples.png`` and ``summary.json``.

    Returns:
        The path of the page.

    Raises:
        UserError: one of them is missing.
    """
    for name, step in ((HISTORY, "train"), (SUMMARY, "evaluate"), (EXAMPLES, "evaluate")):
        if not (folder / name).is_file():
            raise UserError(f"'{folder / name}' does not exist: {step} with --output_dir {folder} first.")
    environment = Environment(
        loader=PackageLoader("bus_monai.report", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    environment.globals |= {"number": number, "interval": interval}
    page = environment.get_template("run_report.html.jinja").render(
        title=folder.resolve().name,
        version=__version__,
        curves=_embed(curves_figure(read_history(folder))),
        examples=base64.b64encode((folder / EXAMPLES).read_bytes()).decode(),
        summaries=json.loads((folder / SUMMARY).read_text(encoding="utf-8")),
    )
    path = folder / REPORT
    path.write_text(page, encoding="utf-8")
    return path


def _embed(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
