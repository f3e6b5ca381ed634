"""What can be measured of labels and images."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod

from bus_monai.inference.segment_frames import read_all_frames
from bus_monai.label.image_scores import image_uncertainty
from bus_monai.label.image_shape import image_shape
from bus_monai.label.label_file import read_labels
from bus_monai.label.segment_task import SegmentTask
from bus_monai.label.store import LabelStore, final_labels


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
            both = total = 0
            for frame, true in zip(read_all_frames(image), truth, strict=True):
                found = predictor.predict(frame.pixels) >= 0.5
                both, total = both + int((found & true).sum()), total + int(found.sum() + true.sum())
            result[name] = 2 * both / total if total else 1.0
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
        names = sorted(datastore.get_unlabeled_images())
        scores = {name: image_uncertainty(self.task, datastore, name) for name in names}
        return {name: score for name, score in scores.items() if score is not None}
