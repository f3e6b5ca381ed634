"""Images that an exported model is calibrated on and compared with PyTorch on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus_monai.data.case import Case
from bus_monai.data.dataset import default_dataset_dir, default_mammogram_dir
from bus_monai.errors import UserError
from bus_monai.inference.items import inference_items
from bus_monai.inference.models import TrainedModel
from bus_monai.inference.training_split import training_split
from bus_monai.registry import input_modality
from bus_monai.source import read_masks, read_source

MOST = 64
"""Images of each of the two kinds, taken evenly from what there is."""


@dataclass(frozen=True)
class ExportImage:
    """An image.

    Args:
        source: its file.
        frame: number of the frame, from 0.
        masks: of its lesions; ``None`` where they are not known.
    """

    source: Path
    frame: int = 0
    masks: tuple[Path, ...] | None = None

    def pixels(self) -> NDArray[np.float32]:
        """Read the grey values (H, W) in [0, 1]."""
        return read_source(self.source, self.frame).pixels

    def truth(self) -> NDArray[np.bool_] | None:
        """Read the lesions (H, W), all masks in one; ``None`` where they are not known."""
        if self.masks is None:
            return None
        return read_masks(self.masks, self.pixels().shape)


def export_images(
    model: TrainedModel, source: Path | None, *, calibrate: bool
) -> tuple[list[ExportImage], list[ExportImage]]:
    """Return the images to calibrate on and those to compare on, none in both.

    Of a data set these are the sections ``training`` and ``test``; of other images, and of a data set of which none is
    held out, every second, where some are to calibrate on.

    Args:
        model: decides on the split of a data set that has none, as in its training.
        source: an image, a folder of images or a data set; ``None`` for phantoms.
        calibrate: whether any are to calibrate on.

    Raises:
        UserError: there are not enough images.
    """
    if source is None:
        source = Path(default_mammogram_dir() if input_modality(model.bundle) == "MG" else default_dataset_dir())
    datalist = training_split(source, model.settings)
    if datalist is None:
        images = [ExportImage(Path(item["source"]), item["frame"]) for item in inference_items(source, "")]
    elif datalist.training and datalist.test:
        known = datalist.training if calibrate else ()
        return _some([_of(case) for case in known]), _some([_of(case) for case in datalist.test])
    else:
        images = [_of(case) for name, cases in datalist.sections() if name != "unlabeled" for case in cases]
    if not calibrate:
        return [], _some(images)
    if len(images) < 2:
        raise UserError(f"'{source}' holds one image: give at least two, one to calibrate on and one to compare on.")
    return _some(images[::2]), _some(images[1::2])


def _of(case: Case) -> ExportImage:
    return ExportImage(case.image, 0, case.masks)


def _some(images: Sequence[ExportImage]) -> list[ExportImage]:
    step = max(len(images) / MOST, 1)
    return [images[int(i * step)] for i in range(min(len(images), MOST))]
