"""One HTML page about images that were explained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from bus_monai.explain.explain_job import ExplainedImage
from bus_monai.report.page import REPORT_FILE, embed, write_page

MAX_PICTURES = 12


def write_explanation_report(out: Path, title: str, results: Sequence[ExplainedImage]) -> Path:
    """Write ``report.html`` into ``out``.

    Args:
        out: the folder.
        title: names the model.
        results: what became of each image.
    """
    drawn = [result for result in results if result.figure is not None]
    return write_page(
        out / REPORT_FILE,
        "explanation_report.html.jinja",
        title=f"Explanations: {title}",
        images=len(results),
        failed=[result for result in results if result.figure is None],
        energies=energy_table(results),
        pictures={result.item.name: embed(result.figure) for result in drawn[:MAX_PICTURES] if result.figure},
        more=max(0, len(drawn) - MAX_PICTURES),
    )


def energy_table(results: Sequence[ExplainedImage]) -> list[dict[str, Any]]:
    """Return the means of energy and chance, one row per method and layer, over the maps that have both."""
    values: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for result in results:
        for row in result.maps:
            if row.energy_inside is not None and row.chance is not None:
                values[row.method, row.layer].append((row.energy_inside, row.chance))
    return [
        {
            "method": method,
            "layer": layer,
            "images": len(pairs),
            "energy": fmean(energy for energy, _ in pairs),
            "chance": fmean(chance for _, chance in pairs),
        }
        for (method, layer), pairs in values.items()
    ]
