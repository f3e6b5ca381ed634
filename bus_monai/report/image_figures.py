"""Figures of images: contours, overlays, boxes, explanations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.geometry.box import Box
from bus_monai.metrics.ignite import ImageDetections
from bus_monai.report.paper import (
    COLUMN_INCHES,
    DPI,
    OUTCOME_COLORS,
    PAGE_INCHES,
    PREDICTION_COLOR,
    TRUTH_COLOR,
    paper_style,
)

GRID_COLUMNS = 3
IMAGE_INCHES = PAGE_INCHES / GRID_COLUMNS
TITLE_INCHES, LEGEND_INCHES = 0.25, 0.3
OUTCOME_OPACITY = 0.45


def image_grid(
    count: int, width: float, heights: Sequence[float], *, around: float, columns: int = GRID_COLUMNS
) -> tuple[Figure, list[Axes]]:
    """Return a figure with room for ``count`` images, and at least as many axes without frames.

    Args:
        count: 1 or more.
        width: of an axis in inches.
        heights: of the axes of each row in inches.
        around: inches for all titles and the legend.
        columns: most images per row.
    """
    columns = min(columns, count)
    figure = Figure(figsize=(width * columns, sum(heights) + around), layout="constrained")
    axes = list(figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).flat)
    for axis in axes:
        axis.axis("off")
        # the images of a row, and their titles, begin at one height
        axis.set_anchor("N")
    return figure, axes


def _row_heights(sizes: Sequence[tuple[int, ...]]) -> list[float]:
    """Return, for each row of images (H, W), the inches of the one that is the tallest for its width."""
    inches = [IMAGE_INCHES * height / width for height, width in sizes]
    return [max(inches[i : i + GRID_COLUMNS]) for i in range(0, len(inches), GRID_COLUMNS)]


def add_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """Say below the images what the lines of each color are."""
    handles = [Line2D([], [], color=color, label=text) for text, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


@paper_style
def contour_figure(
    images: Sequence[NDArray[np.floating]],
    truths: Sequence[NDArray[np.floating]],
    probabilities: Sequence[NDArray[np.floating]],
    titles: Sequence[str],
    *,
    threshold: float = 0.5,
    names: tuple[str, str] = ("truth", "prediction"),
) -> Figure:
    """Draw each image with the contour of its true mask and of the thresholded prediction.

    Args:
        images: (H, W), values in [0, 1].
        truths: (H, W), values in {0, 1}.
        probabilities: (H, W), values in [0, 1].
        titles: one for each image.
        threshold: from which on a pixel is predicted lesion.
        names: of both, for the legend.

    Returns:
        A figure with up to three images per row.
    """
    heights = _row_heights([image.shape for image in images])
    around = LEGEND_INCHES + TITLE_INCHES * len(heights)
    figure, axes = image_grid(len(images), IMAGE_INCHES, heights, around=around)
    for axis, image, truth, probability, title in zip(axes, images, truths, probabilities, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        draw_contour(axis, truth, 0.5, TRUTH_COLOR)
        draw_contour(axis, probability, threshold, PREDICTION_COLOR)
        axis.set_title(title)
    add_legend(figure, dict(zip(names, (TRUTH_COLOR, PREDICTION_COLOR), strict=True)))
    return figure


def draw_contour(axis: Axes, values: NDArray[np.floating] | NDArray[np.bool_], level: float, color: str) -> None:
    """Draw where values (H, W) reach a level; nothing where they do so nowhere or everywhere."""
    if values.min() < level <= values.max():
        axis.contour(values, levels=[level], colors=[color], linewidths=1.5)


@paper_style
def detection_figure(
    images: Sequence[NDArray[np.floating]], detections: Sequence[ImageDetections], *, threshold: float
) -> Figure:
    """Draw each image with its true boxes and those found from ``threshold`` on, with their scores.

    Args:
        images: (h, w) of any size, values in [0, 1]; drawn in the proportions of their sources.
        detections: one per image.
        threshold: score from which on a box is drawn.

    Returns:
        A figure with up to three images per row.
    """
    heights = _row_heights([one.size for one in detections])
    around = LEGEND_INCHES + TITLE_INCHES * len(heights)
    figure, axes = image_grid(len(images), IMAGE_INCHES, heights, around=around)
    for axis, image, one in zip(axes, images, detections, strict=False):
        height, width = one.size
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
        found = {box: score for box, score in zip(one.found, one.scores, strict=True) if score >= threshold}
        _draw(axis, one.truths, TRUTH_COLOR)
        _draw(axis, found, PREDICTION_COLOR)
        for box, score in found.items():
            axis.text(box.left, box.top, f"{score:.2f}", color=PREDICTION_COLOR, va="bottom")
        axis.set_title(f"{one.id}: {len(one.truths)} masses, {len(found)} found")
    add_legend(figure, {"truth": TRUTH_COLOR, f"found, with scores from {threshold:g} on": PREDICTION_COLOR})
    return figure


def _draw(axis: Axes, boxes: Iterable[Box], color: str) -> None:
    for box in boxes:
        axis.add_patch(
            Rectangle((box.left, box.top), box.width, box.height, fill=False, edgecolor=color, linewidth=1.5)
        )


class ReadMass(Protocol):
    """The attributes of a mass that are drawn."""

    @property
    def mask(self) -> Tensor:
        """(1, H, W) bool."""

    @property
    def box(self) -> Box:
        """Around the mask."""

    @property
    def score(self) -> float | None:
        """Of its detection."""

    @property
    def shapes(self) -> Mapping[str, float]:
        """Probability of each shape."""

    @property
    def shape(self) -> str:
        """The likeliest."""


@paper_style
def mass_figure(image: NDArray[np.floating], masses: Sequence[ReadMass]) -> Figure:
    """Draw an image (H, W) in [0, 1] with contour, box, number, shape and score of each mass."""
    height, width = image.shape
    figure = Figure(figsize=(COLUMN_INCHES, COLUMN_INCHES * height / width), dpi=DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    for number, mass in enumerate(masses, start=1):
        axis.contour(mass.mask[0].numpy(), levels=[0.5], colors=[PREDICTION_COLOR], linewidths=1.2)
        box = mass.box
        # image and contour have the middles of pixels at whole numbers, a box has their edges there
        corner = (box.left - 0.5, box.top - 0.5)
        axis.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor="white", linewidth=0.8))
        score = "" if mass.score is None else f", score {mass.score:.2f}"
        axis.text(
            min(box.left, 0.6 * width),
            max(box.top - 0.012 * height, 0.03 * height),
            f"{number}: {mass.shape} {mass.shapes[mass.shape]:.2f}{score}",
            color="white",
            bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0},
        )
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    return figure


@paper_style
def overlay_figure(
    images: Sequence[NDArray[np.floating]],
    truths: Sequence[NDArray[np.floating]],
    probabilities: Sequence[NDArray[np.floating]],
    titles: Sequence[str],
    *,
    threshold: float = 0.5,
) -> Figure:
    """Draw each image above the same image with its pixels colored by :data:`OUTCOME_COLORS`; see
    :func:`contour_figure` for the arguments.
    """
    heights = [height for height in _row_heights([image.shape for image in images]) for _ in range(2)]
    # on two lines, titles are no wider than the image; each second row has none
    around = LEGEND_INCHES + TITLE_INCHES * len(heights)
    figure, axes = image_grid(len(images), IMAGE_INCHES, heights, around=around)
    columns = len(axes) // len(heights)
    for i, (image, truth, probability) in enumerate(zip(images, truths, probabilities, strict=True)):
        above = 2 * columns * (i // columns) + i % columns
        gray = np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=2)
        axes[above].imshow(gray)
        axes[above].set_title(titles[i].replace(": ", ":\n", 1))
        axes[above + columns].imshow(_colored(gray, truth > 0.5, probability >= threshold))
    figure.legend(
        handles=[Patch(color=color, label=name) for name, color in OUTCOME_COLORS.items()],
        loc="outside lower center",
        ncols=len(OUTCOME_COLORS),
        frameon=False,
    )
    return figure


def _colored(
    gray: NDArray[np.floating], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> NDArray[np.floating]:
    result = gray.copy()
    for name, where in zip(OUTCOME_COLORS, (truth & predicted, truth & ~predicted, ~truth & predicted), strict=True):
        result[where] = (1 - OUTCOME_OPACITY) * result[where] + OUTCOME_OPACITY * np.asarray(
            to_rgb(OUTCOME_COLORS[name])
        )
    return result
