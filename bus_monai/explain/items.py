"""What there is to explain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_monai.data.datalist import FILE
from bus_monai.data.dataset import load_dataset
from bus_monai.data.readers.catalogue import recognise
from bus_monai.errors import UserError
from bus_monai.inference.items import inference_items


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
    source: Path, *, split: str, protocol: str, seed: int = 0, cases: int | None = None
) -> list[ExplainItem]:
    """List the images to explain.

    Args:
        source: an image, a folder of images, a data set with a ``datalist.json``, or a published one as unpacked.
        split: section of the data set.
        protocol: split of a data set without sections of its own.
        seed: of that split.
        cases: the first so many; ``None`` for all.

    Raises:
        UserError: there is nothing to explain.
    """
    if source.is_dir() and ((source / FILE).is_file() or recognise(source) is not None):
        section = getattr(load_dataset(source, protocol=protocol, seed=seed), split)
        if not section:
            raise UserError(f"The data set '{source}' has no case in its section '{split}': choose another --split.")
        # an unlabelled image has no mask either, but then its lesions are not known
        items = [
            ExplainItem(case.id, case.image, 0, Path(case.id), None if split == "unlabeled" else case.masks)
            for case in section
        ]
    else:
        folder = source.parent if source.is_file() else source
        listed = inference_items(source, "")
        frames = Counter(item["source"] for item in listed)
        items = []
        for item in listed:
            name = Path(item["source"]).relative_to(folder).as_posix()
            name += f"#{item['frame']}" if frames[item["source"]] > 1 else ""
            output = Path(item["output"])
            stem = output.with_name(output.name.rpartition("_mask.")[0])
            items.append(ExplainItem(name, Path(item["source"]), item["frame"], stem))
    return items[:cases]
