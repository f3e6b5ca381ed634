"""A finding of an audit, and its kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "unreadable",
    "duplicates_across_classes",
    "duplicates_across_groups",
    "similar",
    "missing_mask",
    "mask_without_image",
    "mask_size",
    "odd_mask",
    "empty_mask",
    "tiny_lesion",
    "several_lesions",
    "text",
    "calipers",
    "colour",
    "letterbox",
]
FINDING_KINDS: tuple[Kind, ...] = get_args(Kind)
FINDING_MEANINGS: dict[Kind, str] = {
    "unreadable": "Files that cannot be read.",
    "duplicates_across_classes": "Copies of one image that are filed under different classes.",
    "duplicates_across_groups": "Copies of one image in different groups: they may leak from one section into another.",
    "similar": "No copies, but probably frames of one scene: keep them on one side of a split.",
    "missing_mask": "Images without a mask, in a folder where others have one.",
    "mask_without_image": "Masks that belong to no image.",
    "mask_size": "Masks of another size than their image.",
    "odd_mask": "Masks that are the whole image, black on white, or full of grays.",
    "empty_mask": "Masks without lesion, unless the image is filed as normal.",
    "tiny_lesion": "Lesions below 0.1 % of the image, often specks beside the true one.",
    "several_lesions": "Images with more than one lesion.",
    "text": "Text burned into the image (found by rule, not sure).",
    "calipers": "Caliper marks burned into the image (found by rule, not sure).",
    "colour": "Saturated colors, such as Doppler.",
    "letterbox": "Black margins.",
}


@dataclass(frozen=True)
class Finding:
    """A finding about one or several files.

    Args:
        kind: what it is about.
        paths: the files it is about, one or two.
        detail: figures or reason in words.
    """

    kind: Kind
    paths: tuple[Path, ...]
    detail: str
