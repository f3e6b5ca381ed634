"""Boxes as offsets from default boxes, and back."""

from __future__ import annotations

from monai.apps.detection.utils.box_coder import BoxCoder

BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0), boxes_xform_clip=4.0)
"""Shifts of the centre by the default box's size and logarithms of the ratios of sizes, in x, y, width and height.

Liu et al., ECCV 2016, doi 10.1007/978-3-319-46448-0_2, equation 2. The weights are the inverses of the variances in
their code, 0.1 and 0.2. A decoded logarithm of size is bounded, since an untrained network may say anything, but an
infinite box has no IoU: e^4 = 55 times a default box is more than any image.

Example:
    >>> import torch
    >>> box, default = torch.tensor([[0.2, 0.1, 0.6, 0.5]]), torch.tensor([[0.1, 0.1, 0.5, 0.5]])
    >>> offsets = BOX_CODER.encode_single(box, default)
    >>> offsets
    tensor([[2.5000, 0.0000, 0.0000, 0.0000]])
    >>> torch.allclose(BOX_CODER.decode_single(offsets, default), box)
    True
"""
