"""What can be measured of labels and images."""

from __future__ import annotations

from typing import Any

import numpy as np
from monailabel.interfaces.tasks.scoring import ScoringMethod

from bus_monai.inference.segment_frames import read_all_frames
from bus_monai.label.image_scores import known_uncertainties
from bus_monai.label.image_shape import image_shape
from bus_monai.label.label_file import read_labels
from bus_monai.label.segment_task import SegmentTask
from bus_monai.label.store import LabelStore, final_labels
from bus_monai.metrics.mask_dice import mask_dice


class DiceScoring(ScoringMethod):
    """Dice of what the active model finds against the final label, 1 where neither shows a lesion.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("Dice of the model against the final label")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, float]:
        """Return the Dice of each labelled image, over all its frames, and keep it with the image.

        Raises:
            UserError: an image or label cannot be read.
        """
        predictor, version = self.task.predictor()
        result = {}
        for name, label in final_labels(datastore).items():
            image = datastore.image_path(name)
            truth = read_labels(label, image_shape(image)) > 0
            found = np.stack([predictor.predict(frame.pixels) >= 0.5 for frame in read_all_frames(image)])
            result[name] = mask_dice(found, truth)
            datastore.update_image_info(name, {"dice": {"model": f"{predictor.name} {version}", "dice": result[name]}})
        return result


class UncertaintyScoring(ScoringMethod):
    """Sum of the uncertainty over the pixels of every image without a label.

    Args:
        task: whose model.
    """

    def __init__(self, task: SegmentTask) -> None:
        super().__init__("Sum of the uncertainty of the model")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: LabelStore) -> dict[str, float]:
        """Return the sum for each image that can be read, and keep it with the image."""
        return known_uncertainties(self.task, datastore, sorted(datastore.get_unlabeled_images()))
