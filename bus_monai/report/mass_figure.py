"""A mammogram with its masses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from bus_monai.report.contour_figure import PREDICTION_COLOUR

HEIGHT = 8.0
"""Inches."""


class ReadMass(Protocol):
    """What is drawn of a mass."""

    @property
    def mask(self) -> Tensor:
        """(1, H, W) bool."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom and right in pixels."""

    @property
    def score(self) -> float | None:
        """Of its detection."""

    @property
    def shapes(self) -> Mapping[str, float]:
        """Probability of each shape."""

    @property
    def shape(self) -> str:
        """The likeliest."""


def mass_figure(image: NDArray[np.floating], masses: Sequence[ReadMass]) -> Figure:
    """Draw an image (H, W) in [0, 1] with contour, box, number, shape and score of each mass."""
    height, width = image.shape
    figure = Figure(figsize=(HEIGHT * width / height, HEIGHT), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    for number, mass in enumerate(masses, start=1):
        axis.contour(mass.mask[0].numpy(), levels=[0.5], colors=[PREDICTION_COLOUR], linewidths=1.2)
        top, left, bottom, right = mass.box
        outline = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="white", linewidth=0.8)
        axis.add_patch(outline)
        score = "" if mass.score is None else f", score {mass.score:.2f}"
        axis.text(
            min(left, 0.6 * width),
            max(top - 0.012 * height, 0.03 * height),
            f"{number}: {mass.shape} {mass.shapes[mass.shape]:.2f}{score}",
            color="white",
            fontsize=9,
            bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0},
        )
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    return figure
