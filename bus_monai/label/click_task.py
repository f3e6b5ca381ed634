"""A segmentation made better by clicks and a box, as MONAI Label asks for it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from bus_monai.errors import UserError
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import segment_frames
from bus_monai.interaction.refine import refine
from bus_monai.label.fill_contours import fill_contours
from bus_monai.label.image_shape import image_shape
from bus_monai.label.keep_numbers import keep_numbers
from bus_monai.label.prompts import read_prompts
from bus_monai.label.result_files import LESIONS, ResultFiles, describe
from bus_monai.label.segment_task import SegmentTask
from bus_monai.source import read_source

CLICKS = "_clicks"
"""What follows the name of the model in that of the task."""


class ClickTask(InferTask):
    """Change what the active version of a model finds, or the contours sent along, by clicks and a box.

    The request holds prompts, see :func:`~bus_monai.label.prompts.read_prompts`, and may hold ``contours``, what is
    lesion so far in place of the model's result. Only frames with prompts change, and the numbers of lesions stay. To
    go on, ask again with one click more; to undo, with one less.

    Args:
        segmenter: the task of the model.
    """

    def __init__(self, segmenter: SegmentTask) -> None:
        super().__init__(InferType.DEEPGROW, LESIONS, 2, f"{segmenter.description}, made better by clicks", {})
        self.segmenter = segmenter
        self._results = ResultFiles()

    def is_valid(self) -> bool:
        """Whether it can be offered: it always has weights."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a new file of the result, and contours and the number of the model's version.

        Raises:
            UserError: the image cannot be read, prompts or contours are none or outside, or the result cannot be of
                that kind.
        """
        image = Path(request["image"])
        shape = image_shape(image)
        prompts = read_prompts(request)
        if beyond := [frame for frame in prompts if not 0 <= frame < shape[0]]:
            raise UserError(f"There is no frame {beyond[0]} in '{image.name}': number them from 0 to {shape[0] - 1}.")
        predictor, version = self.segmenter.predictor()
        drawn, stamp = request.get("contours"), image.stat().st_mtime_ns
        if drawn is None:
            labels = [frame.astype(np.uint8) for frame in _found(predictor, image, stamp)]
        else:
            labels = list(fill_contours(drawn, shape))
        for frame, said in prompts.items():
            before = labels[frame]
            belief = before > 0 if drawn is not None else _belief(predictor, image, stamp, frame, before)
            labels[frame] = keep_numbers(refine(read_source(image, frame).pixels, belief, *said), before)
        params = describe(labels, request) | {"model_version": version}
        return str(self._results.write(labels, image, request, params)), params


def _belief(
    predictor: Predictor, image: Path, stamp: int, frame: int, labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the probability without what is no finding, so that no speck comes back by a click elsewhere."""
    probability = _probability(predictor, image, stamp, frame).copy()
    probability[(probability >= 0.5) & (labels == 0)] = 0
    return probability


@lru_cache(maxsize=1)  # the image that is being clicked at, until it changes
def _found(predictor: Predictor, image: Path, stamp: int) -> list[NDArray[np.uint16]]:
    return segment_frames(predictor, image, 0.5).labels


@lru_cache(maxsize=1)
def _probability(predictor: Predictor, image: Path, stamp: int, frame: int) -> NDArray[np.float32]:
    return predictor.predict(read_source(image, frame).pixels)
