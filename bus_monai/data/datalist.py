"""Cases as readers yield them, the fields that annotators fill in, datalists (``datalist.json``, the cases by section),
and random splits by group.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from bus_monai.errors import UserError, check_choice, reading
from bus_monai.io.atomic import write_json
from bus_monai.io.opened import hash_file

Diagnosis: TypeAlias = Literal["benign", "malignant", "normal", "unknown"]
DIAGNOSES: tuple[Diagnosis, ...] = ("benign", "malignant", "normal")
"""Those that are known, which are also the folders and words of data sets."""
Shape: TypeAlias = Literal["round", "oval", "lobular", "irregular"]
SECTIONS = ("training", "validation", "test", "unlabeled")
DATALIST_FILE = "datalist.json"
ITEM_KEYS = ("id", "image", "masks", "group", "diagnosis")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def to_diagnosis(word: str) -> Diagnosis:
    """Return the diagnosis that a table calls by its name, in capitals or not; any other word is ``unknown``."""
    return next((known for known in DIAGNOSES if known == word.lower()), "unknown")


@dataclass(frozen=True)
class Case:
    """One image with the masks of its lesions.

    Args:
        id: unique within the data set, made of letters, digits, ``-``, ``_`` and ``.``; names the case in every table.
        image: the image file.
        masks: one file per lesion, all of the image's size; merged with OR. Empty for an image without lesion.
        group: patient or duplicate group; cases of a group never straddle a split.
        diagnosis: the diagnosis of the image.
        dataset: the data set it comes from, where there are several.
    """

    id: str
    image: Path
    masks: tuple[Path, ...]
    group: str
    diagnosis: Diagnosis
    dataset: str = ""


@dataclass(frozen=True)
class Datalist:
    """Cases by section.

    Args:
        training: to learn from.
        validation: to choose the best weights by.
        test: to report on.
        unlabeled: to learn from without masks.
        synthetic: whether the images were generated.
    """

    training: Sequence[Case] = field(default_factory=tuple)
    validation: Sequence[Case] = field(default_factory=tuple)
    test: Sequence[Case] = field(default_factory=tuple)
    unlabeled: Sequence[Case] = field(default_factory=tuple)
    synthetic: bool = False

    @classmethod
    def of(cls, sections: Mapping[str, Sequence[Case]]) -> Datalist:
        """Make a datalist of real images from cases by the names of their sections."""
        known: dict[str, Any] = {name: sections.get(name, ()) for name in SECTIONS}
        return cls(**known)

    def sections(self) -> Iterator[tuple[str, Sequence[Case]]]:
        """Yield each section that has cases, with its name."""
        for name in SECTIONS:
            if getattr(self, name):
                yield name, getattr(self, name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the sections, ids, groups and the contents of every file."""
        total = hashlib.sha256()
        for name, cases in self.sections():
            for case in sorted(cases, key=lambda case: case.id):
                total.update(f"{name}/{case.id}/{case.group}/{case.diagnosis}".encode())
                for path in (case.image, *case.masks):
                    total.update(bytes.fromhex(hash_file(path)))
        return total.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return ids, groups and diagnoses by section, with the digest of the data and without paths."""
        content: dict[str, Any] = {"digest": self.digest, "synthetic": self.synthetic}
        for name, cases in self.sections():
            content[name] = [{"id": c.id, "group": c.group, "diagnosis": c.diagnosis} for c in cases]
        return content


def write_datalist(folder: Path, datalist: Datalist) -> Path:
    """Write ``datalist.json`` with paths relative to ``folder``; return its path.

    Raises:
        UserError: a file lies outside of ``folder``.
    """
    content: dict[str, Any] = {"name": folder.name, "synthetic": datalist.synthetic}
    for name, cases in datalist.sections():
        content[name] = [
            to_item(case, lambda file: _relative(file, folder)) | ({"dataset": case.dataset} if case.dataset else {})
            for case in cases
        ]
    # complete or not there: whoever is stopped half-way leaves no datalist that looks whole
    write_json(folder / DATALIST_FILE, content)
    return folder / DATALIST_FILE


def to_item(case: Case, write_path: Callable[[Path], str] = str) -> dict[str, Any]:
    """Return a case as an item of a datalist, which transforms take: plain values by :data:`ITEM_KEYS`."""
    image, *masks = (write_path(file) for file in (case.image, *case.masks))
    return dict(zip(ITEM_KEYS, (case.id, image, masks, case.group, case.diagnosis), strict=True))


def read_datalist(folder: Path) -> Datalist:
    """Read ``datalist.json`` of ``folder``.

    Raises:
        UserError: it is no JSON, a section is unknown, an item lacks a key or has a wrong value, a path leads out of
            the folder, a file is missing, an id occurs twice, or a group straddles sections.
    """
    path = folder / DATALIST_FILE
    with reading(path, "JSON", errors=(ValueError,), remedy="correct it"):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict) or not any(content.get(name) for name in SECTIONS):
        raise UserError(f"'{path}' has none of the sections {', '.join(SECTIONS)}: add at least one.")
    _check_sections(content, path)
    sections: dict[str, Any] = {
        name: [_case(folder, item, f"{name}[{i}] of '{path}'") for i, item in enumerate(content.get(name, []))]
        for name in SECTIONS
    }
    datalist = Datalist(**sections, synthetic=bool(content.get("synthetic")))
    _check_apart(datalist, path)
    return datalist


def _relative(file: Path, folder: Path) -> str:
    try:
        return file.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError as error:
        raise UserError(f"'{file}' lies outside of '{folder}': move it into the folder of its datalist.") from error


def _check_sections(content: Mapping[str, Any], path: Path) -> None:
    for name, items in content.items():
        if name in SECTIONS and not isinstance(items, list):
            raise UserError(f"The section {name} of '{path}' is no list: give a list of items.")
        # other entries are free, but a misspelled section would lose its cases without a word
        looks_like_items = isinstance(items, list) and any(isinstance(x, Mapping) and "image" in x for x in items)
        if name not in SECTIONS and looks_like_items:
            raise UserError(f"'{path}' has the unknown section '{name}': use {', '.join(SECTIONS)}.")


def _case(folder: Path, item: Any, where: str) -> Case:
    missing = [key for key in ITEM_KEYS if not isinstance(item, Mapping) or key not in item]
    if missing:
        raise UserError(f"The item {where} lacks {', '.join(missing)}: add what is missing.")
    check_choice("diagnosis", item["diagnosis"], get_args(Diagnosis), where=where)
    if not isinstance(item["masks"], list):
        raise UserError(f"The item {where} has masks that are no list: give a list of paths, empty without lesion.")
    if not isinstance(item.get("dataset", ""), str):
        raise UserError(f"The item {where} has the dataset {item['dataset']!r}: give it a name.", key="dataset")
    for key in ("id", "group"):
        if isinstance(item[key], bool) or not isinstance(item[key], str | int) or item[key] == "":
            raise UserError(f"The item {where} has the {key} {item[key]!r}: give it a name.")
    if not _ID.fullmatch(str(item["id"])):
        raise UserError(
            f"The item {where} has the id {item['id']!r}: use letters, digits, '-', '_' and '.', since it names files."
        )
    image, *masks = (_inside(folder, name, where) for name in (item["image"], *item["masks"]))
    return Case(str(item["id"]), image, tuple(masks), str(item["group"]), item["diagnosis"], item.get("dataset", ""))


def posix_path(folder: Path, name: str) -> Path:
    """Return a path below ``folder``, also one that was written by Windows, with backslashes.

    Example:
        >>> posix_path(Path("set"), r"images\\1.png").as_posix()
        'set/images/1.png'
    """
    path = folder / name
    return path if "\\" not in name or path.exists() else folder / name.replace("\\", "/")


def _inside(folder: Path, name: Any, where: str) -> Path:
    if not isinstance(name, str):
        raise UserError(f"The item {where} has the path {name!r}: give a path relative to the datalist.")
    path = posix_path(folder, name).resolve()
    if folder.resolve() not in path.parents:
        raise UserError(f"The item {where} refers to '{name}' outside of its folder: move the file into it.")
    if not path.is_file():
        raise UserError(f"The item {where} refers to '{name}', which does not exist: add the file or remove the item.")
    return path


def _check_apart(datalist: Datalist, path: Path) -> None:
    ids: set[str] = set()
    home: dict[str, str] = {}
    for name, cases in datalist.sections():
        for case in cases:
            if case.id in ids:
                raise UserError(f"The id '{case.id}' occurs twice in '{path}': give each item an id of its own.")
            ids.add(case.id)
            if home.setdefault(case.group, name) != name:
                raise UserError(
                    f"The group '{case.group}' stands in {home[case.group]} and in {name} of '{path}': move it to one "
                    "side, since it would leak from one into the other."
                )


def split_by_group(cases: Sequence[Case], shares: Mapping[str, float], *, seed: int = 0) -> dict[str, list[Case]]:
    """Split cases into sections, whole groups at a time, stratified by diagnosis.

    Deterministic, whatever the order of ``cases``: groups are shuffled by a hash of seed and name, larger ones first,
    and each goes to the section that lacks most of the group's most frequent diagnosis.

    Args:
        cases: to split.
        shares: section to share; only their ratios count.
        seed: of the shuffle.

    Returns:
        Section to cases, in the order of their ids.

    Raises:
        UserError: there are fewer groups than sections.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    if len(groups) < len(shares):
        raise UserError(
            f"{len(groups)} groups cannot be split into {len(shares)} sections: give a data set of more images."
        )
    total = sum(shares.values())
    size: Counter[str] = Counter(case.diagnosis for case in cases)
    wanted = {s: {d: n * share / total for d, n in size.items()} for s, share in shares.items()}
    sections: dict[str, list[Case]] = {section: [] for section in shares}

    def lacking(section: str, diagnosis: str) -> float:
        # relative to its size, so that small sections are served as well as large ones
        return wanted[section][diagnosis] / (size[diagnosis] * shares[section])

    for name in sorted(groups, key=lambda group: (-len(groups[group]), _hash(seed, group))):
        members = groups[name]
        diagnosis = Counter(case.diagnosis for case in sorted(members, key=lambda c: c.id)).most_common(1)[0][0]
        section = max(shares, key=lambda s: (lacking(s, diagnosis), shares[s]))
        sections[section] += members
        for case in members:
            wanted[section][case.diagnosis] -= 1
    return {section: sorted(members, key=lambda case: case.id) for section, members in sections.items()}


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


FIELDS_FILE = "fields.json"
"""Beside the images of ``label``: what is asked of a case beside its outlines."""
DEFAULT_FIELDS = Path(__file__).with_name(FIELDS_FILE)
"""Without one there: the words of ACR BI-RADS Ultrasound (Mendelson et al., ACR BI-RADS Atlas, 5th edition, 2013)."""
MAX_FIELDS, MAX_VALUES, MAX_WORDS, MAX_COMMENT = 50, 100, 200, 4000
"""Fields, values of one, and characters of a title or value, and of free text."""
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class CaseField(TypedDict):
    """What is asked of a case: a name for tables, a title for people, and the values to choose from or free text."""

    name: str
    title: str
    values: list[str] | None


def read_fields(folder: Path) -> list[CaseField]:
    """Return the fields that ``fields.json`` of a folder of images lists, without one :data:`DEFAULT_FIELDS`.

    Raises:
        UserError: it is no list of fields.
    """
    path = folder / FIELDS_FILE if (folder / FIELDS_FILE).is_file() else DEFAULT_FIELDS
    with reading(path, "JSON", errors=(ValueError,), remedy="correct or remove it"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, list) or len(content) > MAX_FIELDS:
            raise ValueError(f"it is no list of up to {MAX_FIELDS} fields")
        fields = [_field(place, entry) for place, entry in enumerate(content, start=1)]
        names = [field["name"] for field in fields]
        if len(set(names)) < len(names):
            raise ValueError("two fields have one name")
    return fields


def _field(place: int, entry: Any) -> CaseField:
    if not isinstance(entry, dict) or entry.keys() != CaseField.__annotations__.keys():
        raise ValueError(f"field {place} has not the keys {', '.join(CaseField.__annotations__)} alone")
    name, title, values = entry["name"], entry["title"], entry["values"]
    if not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"the name of field {place} is not of small letters, digits and '_'")
    words = [title] if values is None else [title, *values] if isinstance(values, list) else [None]
    if len(words) > MAX_VALUES + 1 or not all(isinstance(word, str) and 0 < len(word) <= MAX_WORDS for word in words):
        raise ValueError(f"the title or a value of '{name}' is no short text")
    return {"name": name, "title": title, "values": values}


def check_fields(sent: Any, fields: Sequence[CaseField]) -> dict[str, str]:
    """Return the values by field of what a client sent; those that are empty are left out.

    Raises:
        UserError: a field is not asked for, or its value is none that it may have.
    """
    if not isinstance(sent, Mapping | None):
        raise UserError("'fields' is no object: send {NAME: VALUE, ...}.", key="fields")
    known = {field["name"]: field["values"] for field in fields}
    told = {}
    for name, value in (sent or {}).items():
        check_choice("fields", name, known)
        values = known[name]
        if value in (None, ""):
            continue
        if values is not None:
            check_choice(name, value, values)
        elif not isinstance(value, str) or len(value) > MAX_COMMENT:
            raise UserError(f"'{name}' is no text of up to {MAX_COMMENT} characters: shorten it.", key=name)
        told[name] = value
    return told
