"""One item a mass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bus_monai.data.case import Case
from bus_monai.data.readers.shape_table import SHAPES, read_shape_table
from bus_monai.data.shape_words import CLASS_OF_WORD
from bus_monai.errors import UserError
from bus_monai.metrics.classification import class_weights
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.source import image_stem

TRUTH = "truth"


def mass_items(folder: str | Path, cases: Sequence[Case], *, masks: str | Path = TRUTH) -> list[dict[str, Any]]:
    """List the masses of cases that have one of the four shapes.

    Args:
        folder: prepared data set with ``mass_shapes.csv``, whose rows of a case are in the order of its masks.
        cases: of that data set.
        masks: ``truth``, or a folder with a predicted mask a case, as ``inferring`` of a segmenter writes it.

    Returns:
        Items with ``id`` (such as ``mammo_0001_m1``), ``group``, ``mask`` (path of the true mask), ``label`` (number of
        the class in ``SHAPE_CLASSES``) and, unless ``masks`` is ``truth``, ``predicted`` (path of the case's mask).

    Raises:
        UserError: there is no ``mass_shapes.csv``, it does not fit the cases, no mass has one of the four shapes, or a
            predicted mask is missing.
    """
    folder = Path(folder).expanduser()
    rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for case_id, number, word in read_shape_table(folder):
        rows[case_id].append((number, word))
    found = None if str(masks) == TRUTH else _predicted(Path(masks).expanduser())
    items = []
    for case in cases:
        if len(rows[case.id]) != len(case.masks):
            raise UserError(
                f"'{folder / SHAPES}' has {len(rows[case.id])} rows of '{case.id}', which has {len(case.masks)} masks: "
                "give it a row a mask."
            )
        for (number, word), mask in zip(rows[case.id], case.masks, strict=True):
            if word in CLASS_OF_WORD:
                label = SHAPE_CLASSES.index(CLASS_OF_WORD[word])
                item = {"id": mass_id(case.id, number), "group": case.group, "mask": str(mask), "label": label}
                items.append(item | ({} if found is None else {"predicted": _of(case, found, masks)}))
    if not items:
        raise UserError(
            f"No mass of the {len(cases)} cases has one of the shapes {', '.join(CLASS_OF_WORD)} in "
            f"'{folder / SHAPES}': give a data set with some."
        )
    return items


def mass_id(case: str, number: int) -> str:
    """Name a mass by its case and its number; :func:`case_and_number` is the way back."""
    return f"{case}_m{number}"


def case_and_number(mass: str) -> tuple[str, int]:
    """Return what :func:`mass_id` named."""
    case, _, number = mass.rpartition("_m")
    return case, int(number)


def shape_weights(items: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the weight N / (4 N_c) of each class, (4,), under which all classes count alike.

    Singh et al., Expert Systems with Applications 139, 2020, doi 10.1016/j.eswa.2019.112855, weight the classes but do
    not say how.

    Raises:
        UserError: a class has no mass.
    """
    labels = np.array([item["label"] for item in items])
    counts = Counter(labels.tolist())
    missing = [name for label, name in enumerate(SHAPE_CLASSES) if not counts[label]]
    if missing:
        raise UserError(
            f"The section 'training' has no {missing[0]} mass: add some, or set class_weights false to learn without."
        )
    return torch.tensor(class_weights(labels, len(SHAPE_CLASSES)), dtype=torch.float32)


def _predicted(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"masks is '{folder}', which is no folder: give '{TRUTH}' or a folder of predicted masks.")
    return {path.name: path for pattern in ("*_mask.png", "*_mask.nii.gz") for path in sorted(folder.rglob(pattern))}


def _of(case: Case, found: Mapping[str, Path], folder: str | Path) -> str:
    stem = image_stem(case.image.name)
    name = next((name for name in (f"{stem}_mask.png", f"{stem}_mask.nii.gz") if name in found), None)
    if name is None:
        raise UserError(f"'{folder}' has no mask '{stem}_mask.png' of the case '{case.id}': run inference on it first.")
    return str(found[name])
