"""Turn cases and folders into the items that transforms take, one per image or one per mass."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from bus_monai.data.datalist import DATALIST_FILE, Case, Datalist
from bus_monai.data.dataset import load_dataset, to_items
from bus_monai.data.readers.catalog import recognize
from bus_monai.data.readers.shapes import CLASS_OF_WORD, SHAPES_FILE, read_shape_table
from bus_monai.errors import UserError, check_choice, reading
from bus_monai.geometry.box import BOX_COLUMNS, Box
from bus_monai.io.image import NIFTI_SUFFIXES, RASTER_SUFFIXES, image_stem, read_any_mask
from bus_monai.io.masks import frame_mark, mask_suffix
from bus_monai.io.opened import source_kind
from bus_monai.io.ours import check_replaced
from bus_monai.networks.shape_cnn import SHAPE_CLASSES
from bus_monai.sources.listing import list_files
from bus_monai.sources.read import read_source
from bus_monai.transforms.crop import AREA_KEY, BOX_KEY, CROP_KINDS
from bus_monai.transforms.load import MAY_BE_EMPTY, components, crop_mass, read_mask_file
from bus_monai.transforms.masks import SaveMaskd

TRUTH_KEY = "truth"
NAME_COLUMNS = ("id", "file", "image")
DEFAULT_SPLIT = {"protocol": "rdau", "seed": 0}
"""Split for a model whose training is not known."""


def crop_items(cases: Sequence[Case], box: str) -> list[dict[str, Any]]:
    """Turn cases into the dictionaries that transforms take, one per lesion, or one per image for ``box`` ``full``.

    Args:
        cases: with one mask file per lesion; those without a mask are left out, since nothing tells where to crop, and
            so is an empty mask of an image that is normal or of unknown diagnosis.
        box: ``full``, or any other of :data:`~bus_monai.transforms.crop.CROP_KINDS`, which needs a box.

    Returns:
        Items as :func:`~bus_monai.data.dataset.to_items` makes them. Those of a lesion have the id of their case with
        ``_m1``, ``_m2`` and so on behind, all masks of the image, ``box``: top, left, bottom, right of their own mask
        in pixels of the image, (4,) int64, bottom and right outside, and ``lesion_px``, the pixels of that mask.

    Raises:
        UserError: a mask of a benign or malignant image is empty, one cannot be read, or no case has a lesion.
    """
    check_choice("box", box, CROP_KINDS)
    if box == "full":
        return to_items(cases)
    cropped = [item for case in cases for item in case_crops(case)]
    if cases and not cropped:
        raise UserError(f"None of the {len(cases)} images has a mask to crop around: add masks, or set box to full.")
    return cropped


def case_crops(case: Case) -> list[dict[str, Any]]:
    """Return the items of a case, one per lesion, as :func:`crop_items` does; none where it has no lesion.

    Raises:
        UserError: a mask of a benign or malignant image is empty, or one cannot be read.
    """
    (item,) = to_items([case])
    boxes = ((number, _true_box(case, number)) for number in range(1, len(case.masks) + 1))
    return [item | {"id": mass_id(case.id, number), **box} for number, box in boxes if box]


def section_crops(datalist: Datalist, section: str, box: str) -> list[dict[str, Any]]:
    """Return the cases of a section as :func:`crop_items` does; whole, the unlabeled ones that nobody has a mask of."""
    cases: Sequence[Case] = getattr(datalist, section)
    if section != "unlabeled" or box == "full":
        return crop_items(cases, box)
    check_choice("box", box, CROP_KINDS)
    return [item for case in cases for item in (case_crops(case) or to_items([case]))]


def _true_box(case: Case, number: int) -> dict[str, Any]:
    path = case.masks[number - 1]
    mask = read_any_mask(path)
    box = Box.from_mask(mask)
    if not box.area:
        if case.diagnosis in MAY_BE_EMPTY:
            return {}
        raise UserError(f"The mask '{path}' is empty, so that there is nothing to crop around: remove it.")
    return {BOX_KEY: np.array(box.sides, dtype=np.int64), AREA_KEY: np.count_nonzero(mask)}


def mass_items(
    folder: str | Path, cases: Sequence[Case], *, masks: str | Path = TRUTH_KEY, required: bool = True
) -> list[dict[str, Any]]:
    """List the masses of cases that have one of the four shapes.

    Args:
        folder: prepared data set with ``mass_shapes.csv``, whose rows of a case are in the order of its masks.
        cases: of that data set.
        masks: ``truth``, or a folder with one predicted mask per case, as ``inferring`` of a segmenter writes it.
        required: whether it is an error that no mass has one of the four shapes.

    Returns:
        Items with ``id`` (such as ``mammo_0001_m1``), ``group``, ``mask`` (path of the true mask), ``label`` (number of
        the class in ``SHAPE_CLASSES``), ``source`` (path of the image) and, unless ``masks`` is ``truth``,
        ``predicted`` (path of the case's mask).

    Raises:
        UserError: there is no ``mass_shapes.csv``, it does not fit the cases, no mass has one of the four shapes, or a
            predicted mask is missing.
    """
    folder = Path(folder).expanduser()
    rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for case_id, number, word in read_shape_table(folder):
        rows[case_id].append((number, word))
    found = None if str(masks) == TRUTH_KEY else _predicted(Path(masks).expanduser())
    items = []
    for case in cases:
        if len(rows[case.id]) != len(case.masks):
            raise UserError(
                f"'{folder / SHAPES_FILE}' has {len(rows[case.id])} rows of '{case.id}', which has "
                f"{len(case.masks)} masks: give it one row per mask."
            )
        for (number, word), mask in zip(rows[case.id], case.masks, strict=True):
            if word in CLASS_OF_WORD:
                label = SHAPE_CLASSES.index(CLASS_OF_WORD[word])
                item = {"id": mass_id(case.id, number), "group": case.group, "mask": str(mask), "label": label}
                item["source"] = str(case.image)
                items.append(item | ({} if found is None else {"predicted": _of(case, found, masks)}))
    if required and not items:
        raise UserError(
            f"No mass of the {len(cases)} cases has one of the shapes {', '.join(CLASS_OF_WORD)} in "
            f"'{folder / SHAPES_FILE}': give a data set with some."
        )
    return items


def mass_id(case: str, number: int) -> str:
    """Name a mass by its case and its number; :func:`case_and_number` is the way back."""
    return f"{case}_m{number}"


def case_and_number(mass: str) -> tuple[str, int]:
    """Return the id of the case and the number of the mass from an id of :func:`mass_id`."""
    case, _, number = mass.rpartition("_m")
    return case, int(number)


def shape_weights(items: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the weight N / (4 N_c) of each class, (4,), under which all classes count alike.

    Singh et al., Expert Systems with Applications 139, 2020, doi 10.1016/j.eswa.2019.112855, weight the classes but do
    not say how.

    Raises:
        UserError: a class has no mass.
    """
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([item["label"] for item in items])
    missing = [name for label, name in enumerate(SHAPE_CLASSES) if label not in labels]
    if missing:
        raise UserError(
            f"The section 'training' has no {missing[0]} mass: add some, or set class_weights false to learn without."
        )
    weights = compute_class_weight("balanced", classes=np.arange(len(SHAPE_CLASSES)), y=labels)
    return torch.tensor(weights, dtype=torch.float32)


def _predicted(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(f"masks is '{folder}', which is no folder: give '{TRUTH_KEY}' or a folder of predicted masks.")
    found: dict[str, list[Path]] = defaultdict(list)
    for pattern in ("*_mask.png", "*_mask.nii.gz"):
        for path in sorted(folder.rglob(pattern)):
            found[path.name].append(path)
    return found


def _of(case: Case, found: Mapping[str, Sequence[Path]], folder: str | Path) -> str:
    stem = image_stem(case.image.name)
    name = next((name for name in (f"{stem}_mask.png", f"{stem}_mask.nii.gz") if name in found), None)
    if name is None:
        raise UserError(f"'{folder}' has no mask '{stem}_mask.png' of the case '{case.id}': run inference on it first.")
    if len(found[name]) > 1:
        raise UserError(
            f"'{folder}' has {len(found[name])} masks '{name}', of which one would be of the case '{case.id}': give a "
            "folder with one mask of each name."
        )
    return str(found[name][0])


def boxed_items(
    items: Sequence[Mapping[str, Any]], folder: str | Path, table: str | Path | None
) -> list[dict[str, Any]]:
    """Return one item per box of ``table``, in the order of ``items``.

    Args:
        items: of :func:`~bus_monai.data.items.inference_items`.
        folder: that they lie in.
        table: CSV with a column ``id``, ``file`` or ``image`` (a file's name, with or without its ending, or its path
            below ``folder``; for one frame of several that with ``#`` and its number, or the name of its mask without
            ``_mask``) and the columns ``top``, ``left``, ``bottom``, ``right`` in whole pixels, bottom and right
            outside the box; others mean nothing. ``None`` leaves the items as they are.

    Returns:
        The items with ``box``, (4,) int64, and ``merge``: whether the mask is to be joined to that of a box before.

    Raises:
        UserError: the table does not exist or lacks a column, or a line names no image or several, or has no box.
    """
    if table is None:
        return [dict(item) for item in items]
    table = Path(table)
    named = _names(items, Path(folder))
    boxes: dict[str, list[Box]] = defaultdict(list)
    for where, name, sides in _read(table):
        outputs = named.get(name, set())
        if len(outputs) != 1:
            found = "no image" if not outputs else f"{len(outputs)} images"
            raise UserError(f"{where} names '{name}', which is {found} below '{folder}': give the path of one image.")
        boxes[next(iter(outputs))].append(_given_box(where, sides))
    return [
        {**item, "box": np.array(box.sides, dtype=np.int64), "merge": number > 0}
        for item in items
        for number, box in enumerate(boxes[item["output"]])
    ]


def write_empty_masks(items: Sequence[Mapping[str, Any]], boxed: Sequence[Mapping[str, Any]]) -> None:
    """Write an empty mask for each of ``items`` that has no box among ``boxed``.

    Raises:
        UserError: an image cannot be read, or a mask cannot be written.
    """
    outputs = {item["output"] for item in boxed}
    for item in items:
        if item["output"] not in outputs:
            shape = read_source(item["image"], item["frame"]).pixels.shape
            nothing: dict[Hashable, Any] = {"pred": torch.zeros(1, *shape)}
            SaveMaskd()(nothing | {key: item[key] for key in ("source", "output")})


def _names(items: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, set[str]]:
    """Return the masks' paths by all the names that an image goes by."""
    named: dict[str, set[str]] = defaultdict(set)
    for item in items:
        below = _below(Path(item["source"]), folder)
        mask = Path(item["output"]).name.rpartition("_mask")[0]
        names = (below.name, below.stem, mask, below.with_name(mask).as_posix())
        for name in (*names, below.as_posix(), f"{below.as_posix()}#{item['frame']}"):
            named[name].add(item["output"])
    return named


def _below(path: Path, folder: Path) -> Path:
    # a data set's paths are resolved, the folder may be relative or a link
    for form in (Path.absolute, Path.resolve):
        if form(path).is_relative_to(form(folder)):
            return form(path).relative_to(form(folder))
    return Path(path.name)


def _read(table: Path) -> list[tuple[str, str, list[str]]]:
    with (
        reading(table, "CSV", errors=(ValueError, csv.Error), remedy="give a table of boxes"),
        table.open(newline="", encoding="utf-8-sig") as file,
    ):
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        rows = [(reader.line_num, row) for row in reader]
    key = next((name for name in NAME_COLUMNS if name in columns), None)
    missing = [name for name in BOX_COLUMNS if name not in columns]
    if key is None:
        missing.insert(0, " or ".join(NAME_COLUMNS))
    if key is None or missing:
        raise UserError(f"The table of boxes '{table}' lacks the column {', '.join(missing)}: add what is missing.")
    return [
        (f"Line {line} of '{table}'", row[key] or "", [row[side] or "" for side in BOX_COLUMNS]) for line, row in rows
    ]


def _given_box(where: str, sides: Sequence[str]) -> Box:
    try:
        box = Box(*map(int, sides))
    except ValueError:
        box = Box(0, 0, 0, 0)
    if not box.area:
        raise UserError(
            f"{where} has no box in ({', '.join(sides)}): give top, left, bottom and right in whole pixels, bottom "
            "below top and right of left."
        )
    return box


def inference_items(folder: str | Path, output: str | Path) -> list[dict[str, Any]]:
    """List the images below ``folder`` (PNG, JPEG, NIfTI, DICOM), one item per frame.

    Args:
        folder: searched with all its subfolders; ``*_mask*.png`` beside images are not images. Or a file.
        output: the masks' folder, a mirror of ``folder``.

    Returns:
        Items with ``image`` and ``source`` (path), ``frame`` (from 0) and ``output`` (path of the mask):
        ``a/b.jpg`` gives ``a/b_mask.png``, ``a/b.nii.gz`` gives ``a/b_mask.nii.gz``, the third frame of a cine
        ``a/c.dcm`` gives ``a/c_frame002_mask.png``. Two sources of one stem keep their suffix in the name.

    Raises:
        UserError: there is no such folder or file, nothing in it can be read, or a mask would replace a file that this
            package did not write.
    """
    folder, output = Path(folder), Path(output)
    if not folder.exists():
        raise UserError(f"'{folder}' does not exist: give a folder of PNG, JPEG, NIfTI or DICOM files.")
    files = [(path, kind, count) for path, kind, count in list_files(folder) if count]
    if not files:
        raise UserError(f"'{folder}' holds no PNG, JPEG, NIfTI or DICOM file: give another folder.")
    root = _root(folder)
    stems = Counter(path.with_name(image_stem(path.name)) for path, _, _ in files)
    items = []
    for path, kind, count in files:
        stem = path.with_name(image_stem(path.name))
        name = path.name.replace(".", "_") if stems[stem] > 1 else stem.name
        for frame in range(count):
            mark = frame_mark(frame, count) if count > 1 else ""
            target = output / path.parent.relative_to(root) / (name + mark + mask_suffix(kind))
            items.append({"image": str(path), "source": str(path), "frame": frame, "output": str(target)})
    if output != Path():
        check_replaced((Path(str(item["output"])) for item in items), option="output_dir")
    return items


def item_names(items: Sequence[Mapping[str, Any]], folder: str | Path) -> list[str]:
    """Return what tables call the items of a folder or file: its path below it, of a cine with ``#`` and the frame."""
    root = _root(Path(folder))
    frames = Counter(item["source"] for item in items)
    return [
        Path(item["source"]).relative_to(root).as_posix() + (f"#{item['frame']}" if frames[item["source"]] > 1 else "")
        for item in items
    ]


def _root(folder: Path) -> Path:
    return folder.parent if folder.is_file() else folder


def masses_of_folder(folder: str | Path) -> list[dict[str, Any]]:
    """List the masses in the masks below ``folder`` (PNG, JPEG, NIfTI, DICOM), one item per connected component.

    Returns:
        Items with ``id`` (``a/b_m2`` is the second component, from the top, of ``a/b.png``) and ``image`` (1, 64, 64).
        Two masks of one stem keep their suffix in the id. A mask without a mass gives none.

    Raises:
        UserError: there is no such folder, it holds no mask or no mass, or a mask cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"'{folder}' is no folder: give dataset_dir a folder of masks.")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_mask(path)]
    if not paths:
        raise UserError(f"'{folder}' holds no PNG, JPEG, NIfTI or DICOM file: give another dataset_dir.")
    stems = [path.with_name(image_stem(path.name)) for path in paths]
    items = []
    for path, stem in zip(
        tqdm(paths, desc="reading masks", disable=len(paths) < 100 or None, leave=False), stems, strict=True
    ):
        name = stem if stems.count(stem) == 1 else path
        for number, part in enumerate(components(read_mask_file(path)), start=1):
            id = mass_id(name.relative_to(folder).as_posix(), number)
            items.append({"id": id, "image": crop_mass(torch.from_numpy(part)[None])})
    if not items:
        raise UserError(f"The {len(paths)} masks in '{folder}' are empty: there is no mass to classify.")
    return items


def _is_mask(path: Path) -> bool:
    promised = path.name.lower().endswith(RASTER_SUFFIXES + NIFTI_SUFFIXES)
    return not path.name.startswith(".") and (promised or source_kind(path) is not None)


def training_split(source: Path, settings: Mapping[str, Any]) -> Datalist | None:
    """Return the sections of a data set; ``None`` where ``source`` is an image or a folder of images.

    Args:
        source: a folder with a ``datalist.json``, a published data set as unpacked, or anything else.
        settings: of the training, of which ``protocol`` and ``seed`` split a data set that has no sections.

    Raises:
        UserError: the data set cannot be read.
    """
    if not (source.is_dir() and ((source / DATALIST_FILE).is_file() or recognize(source) is not None)):
        return None
    known: dict[str, Any] = DEFAULT_SPLIT | dict(settings)
    return load_dataset(source, protocol=known["protocol"], seed=known["seed"])
