"""The explanation of an image: its maps by method, with truth and prediction, and their figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bus_monai.errors import check_choice
from bus_monai.report.image_figures import PREDICTION_COLOR, TRUTH_COLOR, add_legend, draw_contour, image_grid

if TYPE_CHECKING:  # the command line takes the names of the methods from here
    import numpy as np
    from numpy.typing import NDArray

METHOD_TITLES = {
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "occlusion": "occlusion",
    "attention": "attention",
    "dropout": "Monte-Carlo dropout",
    "augmentation": "test-time augmentation",
}
EXPLAIN_METHODS = tuple(METHOD_TITLES)


def parse_methods(text: str) -> tuple[str, ...]:
    """Read names joined by commas, in the order of :data:`EXPLAIN_METHODS`.

    Raises:
        UserError: there is no such method.
    """
    names = [part.strip() for part in text.split(",")]
    for name in names:
        check_choice("--methods", name, EXPLAIN_METHODS)
    return tuple(name for name in EXPLAIN_METHODS if name in names)


def energy_inside(values: NDArray[np.floating], lesion: NDArray[np.bool_]) -> float | None:
    """Return the share of a map's sum that lies inside the lesion, the energy-based pointing game.

    Wang et al., Score-CAM, CVPR Workshops 2020, doi 10.1109/CVPRW50498.2020.00020. A map that knows nothing has the
    lesion's share of the image's area.

    Args:
        values: (H, W), none below 0.
        lesion: (H, W).

    Returns:
        A share in [0, 1], or ``None`` where there is no lesion or the map is 0 everywhere.

    Example:
        >>> import numpy as np
        >>> energy_inside(np.array([[3.0, 1.0]]), np.array([[True, False]]))
        0.75
    """
    total = float(values.sum(dtype=float))
    return float(values.sum(dtype=float, where=lesion)) / total if total > 0 and lesion.any() else None


@dataclass(frozen=True)
class ExplanationMap:
    """One map of an image.

    Args:
        method: one of :data:`~bus_monai.explain.explanation.EXPLAIN_METHODS`.
        layer: name of the layer or of the attention block; empty where the method has none.
        values: in [0, 1]; (H, W) of the source image, or (C,) where a block weighs channels.
    """

    method: str
    layer: str
    values: NDArray[np.float32]

    @property
    def title(self) -> str:
        """Method and layer in words, a line each."""
        return METHOD_TITLES[self.method] + (f"\n{self.layer}" if self.layer else "")


@dataclass(frozen=True)
class Explanation:
    """Image, truth, prediction and maps, all of the size of the source image.

    Args:
        image: (H, W), values in [0, 1].
        truth: (H, W), or ``None`` where it is not known.
        prediction: (H, W).
        maps: in the order of the methods.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    prediction: NDArray[np.bool_]
    maps: Sequence[ExplanationMap]

    @property
    def chance(self) -> float | None:
        """The lesion's share of the image, or ``None`` where no lesion is known."""
        return float(self.truth.mean()) if self.truth is not None and self.truth.any() else None

    def energy(self, one: ExplanationMap) -> float | None:
        """Return the share of a map's energy inside the lesion, see :func:`energy_inside`."""
        return energy_inside(one.values, self.truth) if self.truth is not None and one.values.ndim == 2 else None


@dataclass(frozen=True)
class ExplainItem:
    """An image to explain.

    Args:
        name: what tables call it.
        source: its file.
        frame: number of the frame, from 0.
        stem: of the files to write, below the folder of the results.
        masks: of its lesions; ``None`` where the truth is not known.
    """

    name: str
    source: Path
    frame: int
    stem: Path
    masks: Sequence[Path] | None = None


EXPLANATION_COLUMNS = 4


SALIENCY_OPACITY = 0.55


SALIENCY_COLORS = "inferno"


def explanation_figure(explanation: Explanation, name: str) -> Figure:
    """Draw the image with truth and prediction, then each map over the image.

    A map of pixels has the contours too, a color bar from 0 to its largest value, and the share of its energy inside
    the lesion where that is known; weights of channels are bars.

    Args:
        explanation: of the image.
        name: of the image.
    """
    height, width = explanation.image.shape
    # from the image's form, so that the panels touch
    tall = min(max(4.2 * height / width, 2.2), 6.0)
    figure, axes = image_grid(2 + len(explanation.maps), (4.4, tall + 0.6), below=0.8, columns=EXPLANATION_COLUMNS)
    axes[0].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image", fontsize=10)
    axes[1].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    _contours(axes[1], explanation)
    axes[1].set_title("truth and prediction" if explanation.truth is not None else "prediction", fontsize=10)
    for axis, one in zip(axes[2:], explanation.maps, strict=False):
        if one.values.ndim == 1:
            _draw_channels(axis, one)
        else:
            _draw_pixels(axis, one, explanation)
    outlines = {"prediction": PREDICTION_COLOR}
    if explanation.truth is not None:
        outlines = {"truth": TRUTH_COLOR} | outlines
    add_legend(figure, outlines)
    figure.suptitle(name)
    return figure


def _draw_pixels(axis: Axes, one: ExplanationMap, explanation: Explanation) -> None:
    axis.imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    drawn = axis.imshow(
        one.values, cmap=SALIENCY_COLORS, alpha=SALIENCY_OPACITY, vmin=0, vmax=float(one.values.max()) or 1.0
    )
    _contours(axis, explanation)
    bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.8)
    bar.ax.tick_params(labelsize=7)
    energy, chance = explanation.energy(one), explanation.chance
    inside = "" if energy is None else f"\n{energy:.0%} inside, chance {chance:.0%}"
    axis.set_title(one.title + inside, fontsize=10)


def _draw_channels(axis: Axes, one: ExplanationMap) -> None:
    axis.axis("on")
    axis.bar(np.arange(one.values.size), one.values, width=1.0)
    axis.set(ylim=(0, 1), xlabel="channel", ylabel="weight")
    axis.set_title(one.title, fontsize=10)


def _contours(axis: Axes, explanation: Explanation) -> None:
    if explanation.truth is not None:
        draw_contour(axis, explanation.truth, 0.5, TRUTH_COLOR)
    draw_contour(axis, explanation.prediction, 0.5, PREDICTION_COLOR)
