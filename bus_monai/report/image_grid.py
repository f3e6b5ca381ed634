"""Images side by side, with a legend below."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLUMNS = 3


def image_grid(
    count: int, size: tuple[float, float], *, below: float, columns: int = COLUMNS
) -> tuple[Figure, list[Axes]]:
    """Return a figure with room for ``count`` images, and at least as many axes without frames.

    Args:
        count: 1 or more.
        size: width and height of an axis in inches.
        below: inches for the legend.
        columns: most images a row.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + below), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.axis("off")
    return figure, axes


def add_legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """Say below the images what the lines of each colour are."""
    handles = [Line2D([], [], color=colour, label=text) for text, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
