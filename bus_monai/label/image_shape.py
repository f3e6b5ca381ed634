"""Frames, rows and columns of an image file."""

from __future__ import annotations

from pathlib import Path

from bus_monai.source import read_source


def image_shape(path: Path) -> tuple[int, int, int]:
    """Return frames, rows and columns.

    Raises:
        UserError: the file cannot be read.
    """
    first = read_source(path)
    rows, columns = first.pixels.shape
    return first.frames, rows, columns
