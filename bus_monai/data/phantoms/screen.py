"""Screens of scanners around ultrasound images: headers, panels, rulers, bars, logos and body marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bus_monai.errors import UserError, check_choice
from bus_monai.geometry.box import Box

ScreenLayout: TypeAlias = Literal["header", "panel", "dual", "sector", "workstation"]
SCREEN_LAYOUTS: tuple[ScreenLayout, ...] = get_args(ScreenLayout)
SCREEN_SIZES = ((600, 800), (768, 1024), (960, 1280), (1024, 1280), (1080, 1440), (1080, 1920))
"""Height and width of the displays that scanners have had."""
GROUNDS = (0, 0, 0, 8, 24, 60, 128)
"""Gray values of the plain ground, mostly black."""
MIN_SCREEN = (480, 640)
Color: TypeAlias = tuple[int, int, int]
WORDS = (
    "Breast",
    "B",
    "CF 10.0 MHz",
    "Gn 62 %",
    "DR 65",
    "Map C/2",
    "Pers 3",
    "FR 28 Hz",
    "AO 100 %",
    "MI 0.9",
    "TIs 0.3",
)
PLACES = (
    "CITY HOSPITAL",
    "Radiology Dept.",
    "Klinikum Nord",
    "HOSPITAL GERAL",
    "St. Anna Women's Center",
    "IMAGING LAB",
)
MAKERS = ("SONOWAVE", "ECHOLINE", "Ultra V8", "ACME US", "MEDISCAN")


@dataclass(frozen=True)
class Screen:
    """A drawn screen.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: where each image lies, scaled to that size.
        shown: (H, W) bool, the pixels that show one of the images.
    """

    image: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    shown: NDArray[np.bool_]


def images_of_layout(layout: ScreenLayout) -> int:
    """Return how many images a screen of a layout shows."""
    return 2 if layout == "dual" else 1


def draw_screen(
    images: Sequence[NDArray[np.uint8]],
    layout: ScreenLayout,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (768, 1024),
) -> Screen:
    """Draw a screen around images, which keep their aspect; texts, places and colors are drawn by chance.

    Names, dates and numbers on it are of nobody.

    Args:
        images: (h, w) each, as many as :func:`images_of_layout` says.
        layout: how the screen is divided; ``sector`` shows the image as a curved probe would, without its corners.
        rng: the source of chance.
        size: height and width of the screen in pixels.

    Raises:
        UserError: an unknown layout, another number of images, or a screen smaller than 480 x 640.

    Example:
        >>> speckle = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
        >>> screen = draw_screen([speckle], "header", np.random.default_rng(0))
        >>> screen.image.shape, bool(screen.boxes[0].area == np.count_nonzero(screen.shown))
        ((768, 1024, 3), True)
    """
    check_choice("layout", layout, SCREEN_LAYOUTS)
    if len(images) != images_of_layout(layout):
        raise UserError(f"The layout '{layout}' takes {images_of_layout(layout)} images, not {len(images)}.")
    if size[0] < MIN_SCREEN[0] or size[1] < MIN_SCREEN[1]:
        raise UserError(f"A screen of {size[0]} x {size[1]} pixels is too small: give at least 480 x 640.")
    pen = _Pen(size, rng)
    slots = _LAYOUTS[layout](pen)
    boxes, shown = [], np.zeros(size, dtype=bool)
    for image, slot in zip(images, slots, strict=True):
        box = _fitted(image.shape, slot)
        seen = sector_mask((box.height, box.width)) if layout == "sector" else np.ones((box.height, box.width), bool)
        pen.paste(image, box, seen)
        shown[box.slices] = seen
        boxes.append(box)
        pen.ruler(box)
    return Screen(np.asarray(pen.canvas), tuple(boxes), shown)


def sector_mask(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) that a curved probe sees: between two arcs and two straight sides."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    half = pi / 5.5
    # the far arc touches the bottom in the middle and the sides with its ends
    far = width / 2 / sin(half)
    apex = height - far
    near = max(-apex, 0.0) / cos(half) if apex < 0 else 0.05 * far
    away = np.hypot(rows + 0.5 - apex, columns + 0.5 - width / 2)
    angle = np.abs(np.arctan2(columns + 0.5 - width / 2, rows + 0.5 - apex))
    return np.asarray((away <= far) & (away >= near) & (angle <= half))


def _fitted(shape: tuple[int, ...], slot: Box) -> Box:
    """Return the largest box of an image's aspect in the middle of a slot."""
    scale = min(slot.height / shape[0], slot.width / shape[1])
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    top, left = slot.top + (slot.height - height) // 2, slot.left + (slot.width - width) // 2
    return Box(top, left, top + height, left + width)


@lru_cache(maxsize=32)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


class _Pen:
    """What draws the parts of a screen."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.height, self.width = size
        self.rng = rng
        self.ground = int(rng.choice(GROUNDS))
        self.canvas = Image.new("RGB", (self.width, self.height), (self.ground,) * 3)
        self.draw = ImageDraw.Draw(self.canvas)
        self.letter = max(11, round(size[0] * rng.uniform(0.016, 0.024)))
        bright = 255 if self.ground < 100 else 0
        self.ink: Color = (bright, bright, bright if rng.random() < 0.6 else 120)

    def share(self, low: float, high: float) -> int:
        """Return a number of pixels that is some share of the height."""
        return round(self.height * self.rng.uniform(low, high))

    def text(self, row: int, column: int, text: str, *, letter: int | None = None) -> None:
        self.draw.text((column, row), text, fill=self.ink, font=_font(letter or self.letter))

    def lines(self, row: int, column: int, count: int, *, end: int | None = None) -> None:
        """Write settings, one below the other, not beyond a row."""
        for number in range(count):
            at = row + round(number * 1.4 * self.letter)
            if at + self.letter < (end or self.height):
                self.text(at, column, str(self.rng.choice(WORDS)))

    def header(self, height: int, *, bar: bool) -> None:
        """Write hospital, patient and date over the full width."""
        if bar:
            shade = int(self.rng.integers(30, 110))
            self.draw.rectangle((0, 0, self.width, height - 1), fill=(shade, shade, min(255, shade + 40)))
        row = max(2, (height - 2 * self.letter) // 3)
        self.text(row, self.letter, str(self.rng.choice(PLACES)))
        self.text(
            row, round(0.42 * self.width), f"ID {self.rng.integers(10**5, 10**6)}  F 0{self.rng.integers(30, 80)}Y"
        )
        self.text(
            row, round(0.78 * self.width), f"{self.rng.integers(1, 29):02d}/11/2021 1{self.rng.integers(0, 9)}:42:07"
        )
        self.text(row + round(1.3 * self.letter), self.letter, "DOE^JANE   L12-5   SmPrt Breast")

    def logo(self, row: int, column: int) -> None:
        """Draw a maker's mark: a disk with a letter, and its name."""
        side = round(2.2 * self.letter)
        color: Color = tuple(int(value) for value in self.rng.integers(60, 256, 3))  # type: ignore[assignment]
        name = str(self.rng.choice(MAKERS))
        self.draw.ellipse((column, row, column + side, row + side), fill=color)
        self.text(row + side // 5, column + side // 4, name[0], letter=round(1.4 * self.letter))
        self.text(row + side // 4, column + side + 6, name)

    def bar(self, row: int, column: int, height: int) -> None:
        """Draw the bar of grays, or of colors."""
        width = max(8, round(0.012 * self.width))
        values = np.linspace(255, 0, max(height, 2)).astype(np.uint8)[:, None].repeat(width, 1)
        bar = Image.fromarray(values).convert("RGB")
        if self.rng.random() < 0.3:
            red, blue = values, 255 - values
            bar = Image.fromarray(np.stack([red, values // 3, blue], axis=-1))
        self.canvas.paste(bar, (column, row))
        self.draw.rectangle((column - 1, row - 1, column + width, row + height), outline=self.ink)

    def body_mark(self, row: int, column: int, side: int) -> None:
        """Draw a breast as two circles, with the place of the probe."""
        x, y = column + side / 2, row + side / 2
        for radius in (side / 2, side / 8):
            self.draw.circle((x, y), radius, outline=self.ink, width=max(1, side // 40))
        turn = self.rng.uniform(0, 2 * pi)
        near, far = 0.2 * side, 0.45 * side
        probe = (x + near * cos(turn), y + near * sin(turn), x + far * cos(turn), y + far * sin(turn))
        self.draw.line(probe, fill=(255, 200, 0), width=max(3, side // 14))

    def ruler(self, box: Box) -> None:
        """Draw ticks of depth beside an image, with numbers, and the mark of the focus."""
        column = box.right + max(3, self.letter // 4)
        if column + self.letter >= self.width:
            return
        for number, row in enumerate(np.linspace(box.top, box.bottom - 1, int(self.rng.integers(6, 30)))):
            long = 9 if number % 5 == 0 else 5
            self.draw.line((column, row, column + long, row), fill=self.ink)
            if number % 5 == 0 and column + 2 * self.letter < self.width:
                self.text(int(row) - self.letter // 2, column + 12, str(number), letter=max(9, self.letter - 4))
        focus = box.top + round(box.height * self.rng.uniform(0.2, 0.7))
        self.draw.polygon(
            [(column + 12, focus - 4), (column + 12, focus + 4), (column + 6, focus)], fill=(255, 220, 60)
        )

    def thumbnails(self, row: int, column: int, side: int, count: int) -> None:
        """Draw small earlier images, one below the other."""
        for number in range(count):
            at = row + number * round(1.15 * side)
            if at + side > self.height:
                break
            gray = self.rng.integers(0, 120, (side // 3 + 1, side // 2 + 1), dtype=np.uint8)
            small = Image.fromarray(gray).resize((round(1.3 * side), side), Image.Resampling.BICUBIC)
            self.canvas.paste(small.convert("RGB"), (column, at))
            self.draw.rectangle((column - 1, at - 1, column + small.width, at + side), outline=(120, 120, 120))

    def buttons(self, row: int, left: int, right: int) -> None:
        """Draw a row of buttons with words."""
        count = int(self.rng.integers(4, 9))
        step = (right - left) // count
        for number in range(count):
            at = left + number * step
            box = (at + 3, row, at + step - 4, row + 2 * self.letter)
            self.draw.rounded_rectangle(box, radius=4, fill=(90, 96, 110), outline=(170, 170, 170))
            word = ("Store", "Print", "Freeze", "Depth", "Gain", "Focus", "End", "Body")[number % 8]
            self.draw.text((at + 9, row + self.letter // 2), word, fill=(240, 240, 240), font=_font(self.letter))

    def measurements(self, row: int, column: int) -> None:
        """Draw a table of lengths in a frame."""
        lines = [f"{number} L {self.rng.uniform(0.3, 3):.2f} cm" for number in range(1, int(self.rng.integers(3, 7)))]
        width = round(7.5 * self.letter)
        height = round(1.35 * self.letter * len(lines)) + 6
        self.draw.rectangle((column, row, column + width, row + height), outline=self.ink)
        for number, line in enumerate(lines):
            self.text(row + 3 + round(1.35 * self.letter * number), column + 5, line)

    def paste(self, image: NDArray[np.uint8], box: Box, seen: NDArray[np.bool_]) -> None:
        """Show an image in a box, as far as it is seen."""
        scaled = Image.fromarray(image).resize((box.width, box.height), Image.Resampling.BILINEAR)
        self.canvas.paste(scaled.convert("RGB"), (box.left, box.top), Image.fromarray(seen))


def _header(pen: _Pen) -> list[Box]:
    top = pen.share(0.09, 0.14)
    pen.header(top, bar=pen.rng.random() < 0.5)
    left = pen.share(0.04, 0.22)
    slot = Box(top + pen.share(0.01, 0.04), left, pen.height - pen.share(0.07, 0.14), pen.width - pen.share(0.1, 0.25))
    pen.bar(slot.top + pen.letter, max(4, slot.left // 3), pen.share(0.2, 0.35))
    pen.text(pen.height - round(1.8 * pen.letter), pen.letter, "   ".join(map(str, pen.rng.choice(WORDS, 6))))
    return [slot]


def _panel(pen: _Pen) -> list[Box]:
    edge = round(pen.width * pen.rng.uniform(0.16, 0.26))
    shade = int(pen.rng.choice([pen.ground, 40, 70]))
    pen.draw.rectangle((0, 0, edge - 6, pen.height), fill=(shade, shade, shade))
    pen.logo(pen.letter, pen.letter)
    pen.lines(5 * pen.letter, pen.letter, int(pen.rng.integers(8, 20)), end=round(0.55 * pen.height))
    pen.thumbnails(round(0.6 * pen.height), pen.letter, pen.share(0.08, 0.12), 3)
    right = pen.width - pen.share(0.08, 0.14)
    pen.body_mark(pen.height - round(6.2 * pen.letter), pen.width - round(6 * pen.letter), 5 * pen.letter)
    return [Box(pen.share(0.04, 0.08), edge + 8, pen.height - round(6.6 * pen.letter), right)]


def _dual(pen: _Pen) -> list[Box]:
    top = pen.share(0.1, 0.14)
    pen.header(top, bar=pen.rng.random() < 0.3)
    bottom, ruler = pen.height - pen.share(0.16, 0.2), round(3.2 * pen.letter)
    middle, left = pen.width // 2, pen.share(0.01, 0.04)
    for column in (left, middle + 4):
        pen.body_mark(bottom + pen.letter, column + pen.letter, round(0.12 * pen.height))
        pen.lines(bottom + pen.letter, column + round(0.2 * pen.width), 4)
    slot = Box(top + 8, left, bottom, middle - ruler)
    return [slot, slot.shifted(0, middle + 4 - left)]


def _sector(pen: _Pen) -> list[Box]:
    pen.lines(pen.letter, pen.letter, int(pen.rng.integers(5, 12)))
    pen.logo(pen.letter, pen.width - 11 * pen.letter)
    pen.bar(round(0.3 * pen.height), pen.width - round(2.2 * pen.letter), pen.share(0.25, 0.4))
    pen.body_mark(pen.height - 7 * pen.letter, pen.letter, 6 * pen.letter)
    side = round(7 * pen.letter)
    return [Box(pen.share(0.06, 0.1), side, pen.height - pen.share(0.03, 0.07), pen.width - side)]


def _workstation(pen: _Pen) -> list[Box]:
    shade = int(pen.rng.integers(40, 200))
    title = round(1.8 * pen.letter)
    pen.draw.rectangle((0, 0, pen.width, title), fill=(shade, shade, shade))
    pen.draw.text((8, 3), f"Viewer - {pen.rng.choice(PLACES)} - US 3/12", fill=(255, 255, 255), font=_font(pen.letter))
    tools = round(pen.width * pen.rng.uniform(0.08, 0.14))
    pen.draw.rectangle((0, title, tools, pen.height), fill=(shade // 2, shade // 2, shade // 2))
    pen.thumbnails(title + pen.letter, 6, min(pen.share(0.07, 0.1), round(0.7 * tools)), 4)
    foot = pen.height - round(3 * pen.letter)
    pen.buttons(foot, tools + 8, pen.width - 8)
    pen.measurements(foot - 10 * pen.letter, pen.width - round(8.2 * pen.letter))
    return [Box(title + pen.share(0.02, 0.06), tools + 12, foot - pen.letter, pen.width - round(8.6 * pen.letter))]


_LAYOUTS: dict[str, Callable[[_Pen], list[Box]]] = {
    "header": _header,
    "panel": _panel,
    "dual": _dual,
    "sector": _sector,
    "workstation": _workstation,
}
