"""One picture of all overlays that ``segment`` wrote, with what was found below each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bus_monai.errors import UserError, reading, writing
from bus_monai.io.atomic import atomic_file
from bus_monai.io.ours import RESEARCH, check_replaced, png_mark

RESULTS_FILE, SHEET_FILE = "results.csv", "overview.png"
MAX_TILES = 24
"""On one sheet: the first files of the table."""
TILE_SIZE = (480, 360)
"""Width and height of a picture in pixels."""
CAPTION_PX, GAP_PX, COLUMNS = 44, 12, 3
PAPER, INK = (24, 24, 28), (235, 235, 235)

Row = Mapping[str, str]


def write_contact_sheet(folder: Path) -> Path:
    """Write ``overview.png`` beside the results of ``segment`` and return its path.

    Args:
        folder: the ``--out`` of ``segment``, with ``results.csv`` and overlays.

    Raises:
        UserError: the table cannot be read, or there is no overlay.
    """
    table = folder / RESULTS_FILE
    with reading(table, "CSV", errors=(csv.Error, KeyError)), table.open(newline="", encoding="utf-8") as file:
        rows = [(output, list(group)) for output, group in groupby(csv.DictReader(file), key=lambda row: row["output"])]
    tiles = [(folder / f"{output}_overlay.png", _caption(group)) for output, group in rows]
    tiles = [(path, caption) for path, caption in tiles if path.is_file()][:MAX_TILES]
    if not tiles:
        raise UserError(f"'{folder}' holds no overlay: segment with --write overlay first.", path=folder)
    sheet = folder / SHEET_FILE
    check_replaced([sheet], option="its folder")
    with writing(sheet), atomic_file(sheet) as partial:
        draw_contact_sheet(tiles).save(partial, format="PNG", pnginfo=png_mark())
    return sheet


def draw_contact_sheet(tiles: Sequence[tuple[Path, str]]) -> Image.Image:
    """Draw pictures in rows of three, each above its caption.

    Args:
        tiles: pictures and captions of at most two lines.
    """
    width, height = TILE_SIZE
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step = (width + GAP_PX, height + CAPTION_PX + GAP_PX)
    sheet = Image.new("RGB", (columns * step[0] + GAP_PX, rows * step[1] + 2 * GAP_PX + 16), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (path, caption) in enumerate(tiles):
        left, top = GAP_PX + number % columns * step[0], GAP_PX + number // columns * step[1]
        with reading(path, "PNG", errors=(SyntaxError, ValueError)), Image.open(path, formats=("PNG",)) as overlay:
            picture = overlay.convert("RGB")
        picture.thumbnail(TILE_SIZE, Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        draw.multiline_text((left, top + height + 4), caption, fill=INK, font=font)
    draw.text((GAP_PX, sheet.height - GAP_PX - 14), RESEARCH, fill=INK, font=font)
    return sheet


def _caption(rows: Sequence[Row]) -> str:
    first = rows[0]
    count = int(first["lesions"] or 0)
    if first["state"] != "done":
        return f"{first['output']}\n{first['state']}"
    if count == 0:
        return f"{first['output']}\nno lesion found"
    largest = max(rows, key=lambda row: float(row["area"] or 0))
    size = f"{float(largest['long_axis']):.1f} x {float(largest['short_axis']):.1f} {largest['unit']}"
    return f"{first['output']}\n{count} lesion{'s' * (count > 1)}, {'largest ' * (count > 1)}{size}"
