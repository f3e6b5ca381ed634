"""Write color PNG of pictures with speckle, in less than half of the time that Pillow takes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.io.ours import PNG_MARK

LEVEL = 2
"""Of zlib: speckle hardly packs; level 3 takes half as long again for an eighth less, the default, 6, four times."""
_COLOR, _BITS, _FROM_LEFT = 2, 8, 1


def write_color_png(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture (H, W, 3), RGB, marked as ours; each pixel is told by the one to the left.

    Pillow tries all five filters of PNG on each row, which for speckle finds this one (https://www.w3.org/TR/png-3).
    """
    height, width, _ = picture.shape
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    lines[:, 0] = _FROM_LEFT
    lines[:, 1:4] = picture[:, 0]
    np.subtract(picture[:, 1:], picture[:, :-1], out=lines[:, 4:].reshape(height, width - 1, 3))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _BITS, _COLOR, 0, 0, 0)))
        for word, text in PNG_MARK.items():
            file.write(_chunk(b"tEXt", word.encode("latin-1") + b"\0" + text.encode("latin-1")))
        file.write(_chunk(b"IDAT", zlib.compress(lines.data, LEVEL)))
        file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
