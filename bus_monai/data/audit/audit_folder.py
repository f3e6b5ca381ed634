"""The audit of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bus_monai.data.audit.content import find_content, find_mask_faults
from bus_monai.data.audit.listing import FINDING_MEANINGS, Finding, ListedImage, list_images
from bus_monai.data.near_duplicates import (
    KNOWN_DUPLICATES_FILE,
    Pair,
    find_pairs,
    groups_of,
    join_pairs,
    known_duplicates,
)
from bus_monai.data.registration import to_square
from bus_monai.errors import UserError
from bus_monai.sources.read import read_source


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Args:
        folder: that was audited; every path lies below it.
        images: that could be read, sorted; what follows refers to them by index.
        pairs: of images that are copies or show one scene.
        duplicate_groups: of copies.
        split_groups: of at least two images that the splits keep together: those of the datalist or of the patients
            that the set names, else all pairs and what ``near_duplicates.csv`` adds.
        findings: about single files and pairs.
    """

    folder: Path
    images: Sequence[ListedImage]
    pairs: Sequence[Pair]
    duplicate_groups: Sequence[Sequence[int]]
    split_groups: Sequence[Sequence[int]]
    findings: Sequence[Finding]

    def name(self, path: Path) -> str:
        """Return ``path`` relative to the folder, with forward slashes."""
        return path.relative_to(self.folder).as_posix()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it, with a list for each kind of finding, also where nothing was found."""
        names = [self.name(image.path) for image in self.images]
        findings: dict[str, list[dict[str, Any]]] = {kind: [] for kind in FINDING_MEANINGS}
        for finding in self.findings:
            paths = [self.name(path) for path in finding.paths]
            findings[finding.kind].append({"paths": paths, "detail": finding.detail})
        return {
            "images": len(names),
            "duplicate_groups": [[names[i] for i in group] for group in self.duplicate_groups],
            "duplicate_pairs": [
                {
                    "images": [names[pair.first], names[pair.second]],
                    "correlation": round(pair.correlation, 4),
                    "flip": pair.flip,
                    "equal": pair.equal,
                }
                for pair in self.pairs
                if pair.copies
            ],
            "split_groups": [[names[i] for i in group] for group in self.split_groups],
            "findings": findings,
        }


def audit_folder(folder: str | Path) -> Audit:
    """Find near-duplicates, masks that do not fit, and content other than tissue.

    Args:
        folder: of images in any layout, see ``list_images``.

    Raises:
        UserError: the folder is missing, is a file, or holds no image; or its datalist is wrong. A file that cannot be
            read is a finding.
    """
    folder = Path(folder).expanduser().resolve()
    listed, strays = list_images(folder)
    findings = [Finding("mask_without_image", (path,), "no image of this name") for path in strays]
    have_masks = any(image.masks for image in listed)
    images: list[ListedImage] = []
    squares: list[NDArray[np.float32]] = []
    digests: list[str] = []
    for image in tqdm(listed, desc="reading images", disable=len(listed) < 100 or None, leave=False):
        try:
            pixels = read_source(image.path).pixels
        except UserError as error:
            findings.append(Finding("unreadable", (image.path,), str(error)))
            continue
        images.append(image)
        squares.append(to_square(pixels))
        digests.append(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest())
        if have_masks and not image.masks and image.diagnosis != "normal":
            findings.append(Finding("missing_mask", (image.path,), "others have one"))
        height, width = pixels.shape
        findings += [*find_mask_faults(image, (height, width)), *find_content(image.path, pixels)]
    pairs = find_pairs(squares, digests)
    duplicates = join_pairs([(pair.first, pair.second) for pair in pairs if pair.copies], len(images))
    groups = _split_groups(folder, images, pairs)
    findings += _pair_findings(images, pairs, groups)
    return Audit(folder, images, pairs, duplicates, groups, findings)


def _split_groups(folder: Path, images: Sequence[ListedImage], pairs: Sequence[Pair]) -> list[list[int]]:
    if any(image.group is not None for image in images):
        return groups_of({i: image.group for i, image in enumerate(images)})
    known = known_duplicates([image.path for image in images], folder / KNOWN_DUPLICATES_FILE)
    return join_pairs([*((pair.first, pair.second) for pair in pairs), *known], len(images))


def _pair_findings(
    images: Sequence[ListedImage], pairs: Sequence[Pair], groups: Sequence[Sequence[int]]
) -> Iterator[Finding]:
    home = {i: number for number, group in enumerate(groups) for i in group}
    for pair in pairs:
        one, other = images[pair.first], images[pair.second]
        paths = (one.path, other.path)
        correlation = f"correlation {pair.correlation:.2f}"
        if not pair.copies:
            yield Finding("similar", paths, correlation)
            continue
        if "unknown" not in (one.diagnosis, other.diagnosis) and one.diagnosis != other.diagnosis:
            yield Finding("duplicates_across_classes", paths, f"{one.diagnosis} and {other.diagnosis}, {correlation}")
        if home.get(pair.first, -1) != home.get(pair.second, -2):
            sections = f"{one.section} and {other.section}, " if one.section and other.section else ""
            yield Finding("duplicates_across_groups", paths, sections + correlation)
