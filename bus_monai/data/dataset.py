"""Load a folder of one or several data sets as cases by section."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bus_monai.bundle.registry import weights_file
from bus_monai.bundle.settings import learned_split
from bus_monai.data.datalist import DATALIST_FILE, Case, Datalist, read_datalist, to_item, write_datalist
from bus_monai.data.near_duplicates import join_groups
from bus_monai.data.phantoms.mammogram import mammo_phantom_dataset
from bus_monai.data.phantoms.ultrasound import phantom_dataset
from bus_monai.data.protocols import apply_protocol
from bus_monai.data.readers.catalog import PUBLISHED_SETS, PublishedSet, find_set, recognize
from bus_monai.data.readers.folder import IMAGE_FOLDER, MASK_FOLDER, case_id, require_folder
from bus_monai.errors import UserError, writing
from bus_monai.io.gray import check_signal
from bus_monai.io.image import read_mask
from bus_monai.sources.read import read_source

if TYPE_CHECKING:
    from torch import Tensor
logger = logging.getLogger("bus_monai")
NAMED_FOLD = "kfold5:"
"""A protocol that begins so splits prepared folders too."""


def read_collection(folder: Path) -> list[Case] | None:
    """Read all labeled cases of the data sets in ``folder``; the name of each one's folder goes before its ids.

    Groups hold the copies of an image in other sets too. Sections named ``unlabeled`` are left out with a warning.

    Returns:
        The cases, or ``None`` unless two or more folders in ``folder`` are data sets, prepared ones or of image files.

    Raises:
        UserError: something in one of them is wrong, one must be prepared first, or two images would have one id.
    """
    return None if (found := _read_members(folder)) is None else found[0]


def _read_members(folder: Path) -> tuple[list[Case], bool] | None:
    """Return the cases of :func:`read_collection`, and whether some were generated."""
    members = list(_members(folder))
    if len(members) < 2:
        return None
    homes: dict[str, Path] = {}
    cases: list[Case] = []
    synthetic = False
    for member, read in members:
        own, generated = read(member)
        synthetic = synthetic or generated
        for case in own:
            name = f"{case_id(member.name)}_{case.id}"
            if name in homes:
                raise UserError(
                    f"Two images would have the id '{name}', in '{homes[name]}' and in '{member}': rename one folder."
                )
            homes[name] = member
            cases.append(replace(case, id=name, group=f"{member.name}_{case.group}", dataset=member.name))
    return join_groups(cases), synthetic


def _members(folder: Path) -> Iterator[tuple[Path, Callable[[Path], tuple[list[Case], bool]]]]:
    """Yield each data set in ``folder`` with what reads its cases, and says whether they were generated."""
    for path in sorted(folder.iterdir()):
        if (path / DATALIST_FILE).is_file():
            yield path, _read_prepared
        elif path.is_dir() and (known := recognize(path)) is not None:
            yield path, partial(_read_files, known)


def _read_prepared(folder: Path) -> tuple[list[Case], bool]:
    datalist = read_datalist(folder)
    if datalist.unlabeled:
        logger.warning("Left out: %d unlabeled images of '%s'", len(datalist.unlabeled), folder)
    return _labeled(datalist), datalist.synthetic


def _read_files(known: PublishedSet, folder: Path) -> tuple[list[Case], bool]:
    if known.convert:
        raise UserError(
            f"dataset_dir '{folder}' is {known.title}, whose pixels or masks must be converted: run 'bus-monai data "
            f"prepare {known.name} {folder} --out DIR' and give DIR."
        )
    return known.read(folder), False


def _labeled(datalist: Datalist) -> list[Case]:
    return [case for name, cases in datalist.sections() if name != "unlabeled" for case in cases]


def default_dataset_dir(part: str = "") -> str:
    """Return the folder of the embedded data set, phantoms generated once into a cache folder, or a part of it."""
    return str(phantom_dataset() / part)


def default_mammogram_dir(part: str = "") -> str:
    """Return the folder of the embedded mammograms, phantoms generated once into a cache folder, or a part of it."""
    return str(mammo_phantom_dataset() / part)


def load_dataset(dataset_dir: str | Path, *, protocol: str, seed: int = 0, skip_broken: bool = False) -> Datalist:
    """Read the cases of a folder and split them.

    Args:
        dataset_dir: a folder with a ``datalist.json``, which is taken as it is, or a published data set of image files
            as it was unpacked, or a folder of several of these, see :func:`read_collection`.
        protocol: name of the split where the folder has none of its own; a fold such as ``kfold5:3`` splits all
            labeled cases anew in either case.
        seed: of that split.
        skip_broken: leave out the cases that cannot be read, with a warning that names each.

    Raises:
        UserError: the folder is neither, must be prepared first, or something in it is wrong.
    """
    folder = Path(dataset_dir).expanduser()
    if folder.is_file():
        raise UserError(f"dataset_dir is the file '{folder}': unpack it and give the folder.")
    if not folder.is_dir():
        raise UserError(f"dataset_dir '{folder}' does not exist: give a folder that does.")
    if (folder / DATALIST_FILE).is_file():
        datalist = read_datalist(folder)
        if protocol.startswith(NAMED_FOLD):
            # folds share no case: sections of the folder's own would be tested five times
            folds = apply_protocol(protocol, _labeled(datalist), seed)
            datalist = replace(folds, unlabeled=datalist.unlabeled, synthetic=datalist.synthetic)
    else:
        cases, synthetic = _read_published(folder)
        datalist = replace(apply_protocol(protocol, cases, seed), synthetic=synthetic)
    if skip_broken:
        datalist = without_broken(datalist)
    if datalist.synthetic:
        logger.warning("The data set '%s' is SYNTHETIC: generated phantoms, not patients.", folder)
    return datalist


def warn_of_other_split(weights: str | Path | None, dataset_dir: str | Path, *, protocol: str, seed: int) -> None:
    """Warn where weights that a training starts from may have learned from images that it validates or is tested on.

    By which protocol and seed their data were split the settings beside them say. A folder with a ``datalist.json`` has
    one split for all, and nothing is said of it unless the protocol is a fold.

    Args:
        weights: a file; ``None`` for a training from the start.
        dataset_dir: as :func:`load_dataset` takes it, with ``protocol`` and ``seed``.
        protocol: of the training.
        seed: of the training.

    Raises:
        UserError: the settings beside the weights are broken.
    """
    if weights is None or _has_sections(dataset_dir, protocol):
        return
    before = learned_split(weights_file(Path(weights)), protocol, seed)
    if before != (protocol, seed):
        logger.warning(
            "'%s' learned by the split of protocol %s and seed %s, and this training splits by %s and %s: if from the "
            "same data set, it knows images that are tested here. Give both the same, or a folder of 'bus-monai data "
            "prepare'.",
            *(weights, *before, protocol, seed),
        )


def check_one_split(weights: str | Path, dataset_dir: str | Path, *, protocol: str, seed: int) -> None:
    """Refuse to test an ensemble whose networks learned by different splits: what one is tested on, others know.

    Where all are of one folder with a ``datalist.json`` they share its split, whatever their seeds. Nothing is asked of
    ``all_train``, which tests nothing: so data are evaluated as a whole that none has learned from.

    Args:
        weights: a file, or several joined by commas, with their settings beside them.
        dataset_dir: as :func:`load_dataset` takes it, with ``protocol`` and ``seed``.
        protocol: of the evaluation.
        seed: of the evaluation.

    Raises:
        UserError: the networks learned by different splits, or settings are broken.
    """
    if _has_sections(dataset_dir, protocol) or protocol == "all_train":
        return
    files = str(weights).split(",")
    splits = dict.fromkeys(learned_split(weights_file(Path(file)), protocol, seed) for file in files)
    if len(splits) > 1:
        (one, first), (other, second), *_ = splits
        raise UserError(
            f"The networks of the ensemble learned by different splits, such as protocol {one} and seed {first}, and "
            f"{other} and {second}, so that each knows images that others are tested on: train all on one folder of "
            "'bus-monai data prepare', or evaluate images that none has seen with --protocol all_train --split "
            "training.",
            key="protocol",
        )


def _has_sections(dataset_dir: str | Path, protocol: str) -> bool:
    """Whether a folder has a split of its own that this protocol leaves as it is."""
    return (Path(dataset_dir).expanduser() / DATALIST_FILE).is_file() and not protocol.startswith(NAMED_FOLD)


def _read_published(folder: Path) -> tuple[list[Case], bool]:
    published = recognize(folder)
    if published is not None:
        return _read_files(published, folder)
    if (found := _read_members(folder)) is not None:
        return found
    state = "is empty" if not any(folder.iterdir()) else "is neither"
    titles = ", ".join(known.title for known in PUBLISHED_SETS if not known.convert)
    raise UserError(f"dataset_dir '{folder}' {state}: give a folder with a {DATALIST_FILE}, or one of {titles}.")


def check_dataset(datalist: Datalist, *, sections: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Read every image and mask once, so that a broken one is named before any training starts.

    Args:
        datalist: the data set.
        sections: that must have cases.
        optional: sections that may have cases.

    Raises:
        UserError: a section is empty, a file cannot be read, an image holds no signal, or a mask does not fit.
    """
    cases: list[Case] = []
    for section in sections:
        if not getattr(datalist, section):
            raise UserError(f"The data set has no case in its section '{section}': add some to its {DATALIST_FILE}.")
        cases += _needed(section, getattr(datalist, section))
    for section in optional:
        cases += _needed(section, getattr(datalist, section))
    for case in _progress(cases):
        _check_case(case)


def without_broken(datalist: Datalist) -> Datalist:
    """Return the cases that can be read; a warning names each of the others."""
    sections: dict[str, Any] = {}
    for name, cases in datalist.sections():
        whole = {case.id for case in _progress(_needed(name, cases)) if _is_whole(case)}
        sections[name] = [case for case in cases if case.id in whole]
    return replace(datalist, **sections)


def _needed(section: str, cases: Sequence[Case]) -> list[Case]:
    """Drop masks and diagnoses of unlabeled cases, which need not have any."""
    if section != "unlabeled":
        return list(cases)
    return [replace(case, masks=(), diagnosis="unknown") for case in cases]


def _is_whole(case: Case) -> bool:
    try:
        _check_case(case)
    except UserError as error:
        logger.warning("Left out: %s", error)
        return False
    return True


def _check_case(case: Case) -> None:
    pixels = read_source(case.image).pixels
    check_signal(case.image, bool(pixels.any()))
    if case.diagnosis in ("benign", "malignant") and not case.masks:
        raise UserError(f"The {case.diagnosis} image '{case.image}' has no mask: add one or remove the image.")
    for mask in case.masks:
        read_mask(mask, pixels.shape)


def _progress(cases: Sequence[Case]) -> Iterable[Case]:
    bar: Iterable[Case] = tqdm(cases, desc="checking images and masks", disable=len(cases) < 100 or None, leave=False)
    return bar


def to_items(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Turn cases into the dictionaries that transforms take."""
    return [to_item(case) for case in cases]


def section_items(datalist: Datalist, section: str) -> list[dict[str, Any]]:
    """Return the cases of a section as :func:`to_items` does."""
    return to_items(getattr(datalist, section))


def plain_images(
    items: Iterable[Mapping[str, Any]], transform: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Iterator[Tensor]:
    """Yield the images of ``items`` after a deterministic transform, such as the chain of validation."""
    return (transform(item)["image"] for item in items)


def prepare_dataset(
    name: str, source: str | Path, out: str | Path, *, protocol: str, seed: int = 0, skip_broken: bool = False
) -> Datalist:
    """Copy or convert the images and masks that a protocol uses, and write their ``datalist.json`` last.

    Stopped half-way it leaves no datalist, and can be started again.

    Args:
        name: of the set, see ``bus-monai data list``.
        source: its folder as it was unpacked; only read.
        out: gets ``images/``, ``masks/``, ``datalist.json`` and further tables of the set.
        protocol: name of the split.
        seed: of the split.
        skip_broken: leave out the images that cannot be read, with a warning that names each.

    Returns:
        The cases in ``out`` by section.

    Raises:
        UserError: no such set or protocol, something is wrong in ``source``, or ``out`` is taken or not writable.
    """
    published = find_set(name)
    source, out = require_folder(source), Path(out).expanduser()
    if (out / DATALIST_FILE).is_file():
        raise UserError(f"'{out}' has a {DATALIST_FILE} already: give another folder, or remove it.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"'{out}' lies in '{source}', which is left as it is: give a folder elsewhere.")
    datalist = apply_protocol(protocol, published.read(source), seed)
    if skip_broken:
        datalist = without_broken(datalist)
    elif not published.convert:
        check_dataset(datalist, sections=[name for name, _ in datalist.sections()])
    with writing(out):
        for folder in (IMAGE_FOLDER, MASK_FOLDER):
            (out / folder).mkdir(parents=True, exist_ok=True)
        sections: dict[str, Any] = {}
        with tqdm(
            total=sum(len(cases) for _, cases in datalist.sections()), desc=name, unit="image", disable=None
        ) as bar:
            for section, cases in datalist.sections():
                sections[section] = []
                for case in cases:
                    sections[section].append(published.write(case, out))
                    bar.update()
        datalist = replace(datalist, **sections)
        if published.write_tables:
            published.write_tables(source, out)
        write_datalist(out, datalist)
    return datalist
