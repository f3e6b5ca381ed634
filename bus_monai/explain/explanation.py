"""The explanation of an image: its maps by method, with truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bus_monai.errors import check_choice

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


def energy_inside(values: NDArray[np.floating] | NDArray[np.bool_], lesion: NDArray[np.bool_]) -> float | None:
    """Return the share of a map's sum that lies inside the lesion, the energy-based pointing game.

    Wang et al., Score-CAM, CVPR Workshops 2020, doi 10.1109/CVPRW50498.2020.00020. A map that knows nothing has the
    lesion's share of the area that it covers.

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
        seen: (H, W), what the network saw of it; the maps are 0 elsewhere.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    prediction: NDArray[np.bool_]
    maps: Sequence[ExplanationMap]
    seen: NDArray[np.bool_]

    @property
    def chance(self) -> float | None:
        """The lesion's share of what the network saw, or ``None`` where no lesion is known."""
        return energy_inside(self.seen, self.truth) if self.truth is not None else None

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
