"""Check and convert the inputs of metrics: NumPy arrays or PyTorch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
ArrayOrTensor: TypeAlias = "NDArray[Any] | Tensor"


def as_array(values: ArrayOrTensor) -> NDArray[Any]:
    """Return an array of NumPy; of a tensor its values, without its graph and from whichever device.

    PyTorch is not imported for it: what is scored in `segment` starts without.

    Example:
        >>> import torch
        >>> as_array(torch.tensor([0.5, 1.0], dtype=torch.bfloat16, requires_grad=True))
        array([0.5, 1. ], dtype=float32)
    """
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16, and sums over an image do not fit half precision
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
    return np.asarray(values)


def as_masks(
    predicted: ArrayOrTensor, truth: ArrayOrTensor, *, dimensions: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks of the same shape as arrays of truth values.

    Args:
        predicted: values 0 and 1.
        truth: values 0 and 1.
        dimensions: how many the masks must have, such as 2 for (H, W); ``None`` for any number.

    Raises:
        ValueError: shapes differ, or a mask has other values or another number of dimensions.

    Example:
        >>> as_masks(np.array([[0, 1]]), np.array([[1, 1]]))
        (array([[False,  True]]), array([[ True,  True]]))
        >>> as_masks(np.array([[0, 1]]), np.array([1, 1]))
        Traceback (most recent call last):
        ...
        ValueError: predicted has the shape (1, 2) and truth (2,): give two masks of one shape.
    """
    predicted, truth = as_array(predicted), as_array(truth)
    if predicted.shape != truth.shape:
        raise ValueError(
            f"predicted has the shape {predicted.shape} and truth {truth.shape}: give two masks of one shape."
        )
    if dimensions is not None and predicted.ndim != dimensions:
        raise ValueError(f"predicted and truth must have {dimensions} dimensions, got the shape {predicted.shape}.")
    return _as_mask("predicted", predicted), _as_mask("truth", truth)


def _as_mask(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype != bool and not ((values == 0) | (values == 1)).all():
        raise ValueError(f"{name} must hold 0 and 1 alone.")
    return values.astype(bool, copy=False)
