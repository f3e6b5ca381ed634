"""Every metric takes the prediction first, and tensors as it takes arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from bus_monai.metrics.arrays import as_array, as_masks
from bus_monai.metrics.classification import (
    auc,
    class_figures,
    confusion_matrix,
    macro_auc,
    macro_f1,
    macro_roc,
    roc_curve,
    summarize_classes,
)
from bus_monai.metrics.findings import count_detections, match_findings
from bus_monai.metrics.segmentation import (
    average_distance,
    hausdorff95,
    mask_dice,
    probability_histogram,
    score_case,
    surface_distances,
)

PREDICTED = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
TRUTH = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
SCORES = np.array([[0.75, 0.25], [0.375, 0.625], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
CLASSES = np.array([0, 0, 1, 1])


def test_the_prediction_comes_first() -> None:
    """Two of four predicted pixels are right, and the lesion is found whole."""
    scores = score_case(PREDICTED.astype(float), TRUTH)
    assert (scores.precision, scores.sensitivity) == (0.5, 1.0)
    found = count_detections(PREDICTED[:1], np.array([[1, 0, 0, 1]]))
    assert (found.lesions, found.found, found.false_components) == (2, 1, 0)
    there, back = surface_distances(PREDICTED, TRUTH)
    assert there.tolist() == pytest.approx([0, 0, 1, 5**0.5])
    assert back.tolist() == [0, 0]
    # both of class 0 and one of class 1 are taken for class 0
    assert confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2).tolist() == [[2, 0], [1, 1]]
    first, second = class_figures(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 1, 1]))
    assert (first.precision, first.recall) == (pytest.approx(2 / 3), 1.0)
    assert (second.precision, second.recall) == (1.0, 0.5)


@pytest.mark.parametrize("kind", [torch.tensor, lambda values: MetaTensor(torch.tensor(values))])
@pytest.mark.parametrize(
    ("metric", "prediction", "truth"),
    [
        (score_case, SCORES, TRUTH[:, :2].repeat(2, axis=0)),
        (mask_dice, PREDICTED, TRUTH),
        (count_detections, PREDICTED, TRUTH),
        (match_findings, 0.75 * PREDICTED, TRUTH),
        (surface_distances, PREDICTED, TRUTH),
        (hausdorff95, PREDICTED, TRUTH),
        (average_distance, PREDICTED, TRUTH),
        (macro_f1, SCORES, CLASSES),
        (macro_auc, SCORES, CLASSES),
        (macro_roc, SCORES, CLASSES),
        (class_figures, SCORES, CLASSES),
        (auc, SCORES[:, 0], CLASSES == 0),
        (roc_curve, SCORES[:, 0], CLASSES == 0),
        (lambda scores, truth: confusion_matrix(scores.argmax(1), truth, 2), SCORES, CLASSES),
        (lambda scores, truth: summarize_classes(scores, truth, list("aabb"), resamples=20), SCORES, CLASSES),
        (lambda scores, _: probability_histogram(scores), SCORES, CLASSES),
    ],
)
def test_tensors_give_what_arrays_give(
    metric: Callable[[Any, Any], Any], prediction: np.ndarray, truth: np.ndarray, kind: Callable[[Any], torch.Tensor]
) -> None:
    np.testing.assert_equal(_plain(metric(kind(prediction), kind(truth))), _plain(metric(prediction, truth)))


def _plain(value: Any) -> Any:
    fields = getattr(value, "__dict__", value)
    return {**fields} if isinstance(fields, dict) else fields


def test_half_precision_and_a_graph_are_taken() -> None:
    values = torch.tensor([0.25, 1.0], dtype=torch.bfloat16, requires_grad=True)
    assert as_array(values).tolist() == [0.25, 1.0]
    assert as_array([0, 1]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("predicted", "truth", "words"),
    [
        (PREDICTED, TRUTH[:1], r"\(2, 4\) and truth \(1, 4\)"),
        (PREDICTED[None], TRUTH[None], r"2 dimensions, got the shape \(1, 2, 4\)"),
        (PREDICTED * 255, TRUTH, "predicted must hold 0 and 1"),
        (PREDICTED, TRUTH * 0.5, "truth must hold 0 and 1"),
    ],
)
def test_what_is_no_pair_of_masks_is_named(predicted: np.ndarray, truth: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_masks(predicted, truth, dimensions=2)


def test_an_empty_mask_has_no_outline() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        surface_distances(np.zeros_like(TRUTH), TRUTH)
