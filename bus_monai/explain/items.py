"""What there is to explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_monai.errors import UserError
from bus_monai.inference.items import inference_items, item_names
from bus_monai.inference.training_split import training_split


@dataclass(frozen=True)
class ExplainItem:
    """An image to explain.

    Args:
        name: what tables call it.
        source: its file.
        frame: number of the frame, from 0.
        stem: of the files to write, below the folder of the results.
        masks: of its lesions; ``None`` where the truth is not known.
    """

    name: str
    source: Path
    frame: int
    stem: Path
    masks: Sequence[Path] | None = None


def explain_items(
    source: Path, *, split: str, settings: Mapping[str, Any], cases: int | None = None
) -> list[ExplainItem]:
    """List the images to explain.

    Args:
        source: an image, a folder of images, a data set with a ``datalist.json``, or a published one as unpacked.
        split: section of the data set.
        settings: of the training, see :func:`~bus_monai.inference.training_split.training_split`.
        cases: the first so many; ``None`` for all.

    Raises:
        UserError: there is nothing to explain.
    """
    datalist = training_split(source, settings)
    if datalist is not None:
        section = getattr(datalist, split)
        if not section:
            raise UserError(f"The data set '{source}' has no case in its section '{split}': choose another --split.")
        # an unlabelled image has no mask either, but then its lesions are not known
        items = [
            ExplainItem(case.id, case.image, 0, Path(case.id), None if split == "unlabeled" else case.masks)
            for case in section
        ]
    else:
        listed = inference_items(source, "")
        items = []
        for item, name in zip(listed, item_names(listed, source), strict=True):
            output = Path(item["output"])
            stem = output.with_name(output.name.rpartition("_mask.")[0])
            items.append(ExplainItem(name, Path(item["source"]), item["frame"], stem))
    return items[:cases]
