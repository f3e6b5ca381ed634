"""Images and labels of a folder."""

from __future__ import annotations

import filecmp
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import local
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel
from monailabel.interfaces.datastore import DefaultLabelTag

from bus_monai.data.readers.own_images import IMAGE_SUFFIXES, LABELS_FOLDER, split_suffix
from bus_monai.errors import UserError, reading
from bus_monai.io.atomic import atomic_file, write_json
from bus_monai.io.masks import LABEL_SUFFIXES, label_suffix, read_labels
from bus_monai.io.opened import special_kind
from bus_monai.io.ours import not_ours
from bus_monai.label.records import EXTERNAL, Results, mask_digest
from bus_monai.sources.listing import find_sources
from bus_monai.sources.read import image_shape, read_source

KEPT_FOLDER = ".bus_monai"
"""Folder beside the images for versions of labels and models."""
RESULTS_FOLDER = "results"
"""Below that, for what models found."""
_NAME = re.compile(r"[^\W.][\w .+-]*(/[^\W.][\w .+-]*)*")
_TAG = re.compile(r"\w[\w.-]*")
MAX_NAME, MAX_TAG = 200, 64
"""Bytes."""
logger = logging.getLogger("bus_monai")


class UnknownImageError(UserError):
    """The store has no such image."""


class VersionConflictError(UserError):
    """Somebody else has saved a label of the image meanwhile."""


class LabelStore(LocalDatastore):
    """The store of MONAI Label over a folder of ultrasound images, which loses no label.

    Its layout is MONAI Label's own: ``labels/final/ID.png``, ``labels/original/ID.png`` and ``datastore_v2.json``, of
    which entries that lead out of the folder count for nothing. Threads may read while another one changes it: they see
    it as it was before, or as it is after.
    An image is called by its path below the folder without suffix. Every label that was ever saved stays below
    ``.bus_monai/labels``, numbered. Servers, scorings and trainings may use one folder at the same time.

    Args:
        folder: of PNG, JPEG, NIfTI and DICOM files, also below further folders; masks (``*_mask*``) are left out.

    Raises:
        UserError: ``datastore_v2.json`` is broken, or ``.lock`` is somebody's file.
    """

    _config_ts: Any

    def __init__(self, folder: Path) -> None:
        self._published: LocalDatastoreModel | None = None
        self._draft = local()
        self.folder = folder.resolve()
        self.kept = self.folder / KEPT_FOLDER
        self.results = Results(self.kept / RESULTS_FOLDER)
        # one object, which a thread may take again; the parent makes one at each call, and would wait for itself
        self._lock = FileLock(_lock_file(self.folder))
        super().__init__(str(self.folder), extensions=[f"*{suffix}" for suffix in IMAGE_SUFFIXES])

    @property
    def _datastore(self) -> LocalDatastoreModel:
        """The list of images: in a thread that changes it, its own copy."""
        found: LocalDatastoreModel = getattr(self._draft, "model", None) or self._published
        return found

    @_datastore.setter
    def _datastore(self, model: LocalDatastoreModel) -> None:
        if hasattr(self._draft, "model"):
            self._draft.model = model
        else:
            self._published = model

    def get_image_uri(self, image_id: str) -> str:
        """Return the file of an image.

        Raises:
            UnknownImageError: there is no such image.
        """
        uri: str = super().get_image_uri(image_id)
        if not uri:
            raise UnknownImageError(
                f"There is no image '{image_id}': choose one that GET /datastore/?output=all lists."
            )
        return uri

    def image_path(self, image_id: str) -> Path:
        """Return the file of an image, see :meth:`get_image_uri`."""
        return Path(self.get_image_uri(image_id))

    def label_path(self, image_id: str, tag: str) -> Path:
        """Return the file of a label; an empty path where there is none."""
        return Path(self.get_label_uri(image_id, tag))

    def label_version(self, image_id: str, tag: str) -> int:
        """Return the number of an image's label, 0 where it has none, or none that was saved here."""
        entry = self._datastore.objects.get(image_id)
        return int(entry.labels[tag].info.get("version", 0)) if entry and tag in entry.labels else 0

    def save_label(
        self,
        image_id: str,
        label_filename: str,
        label_tag: str,
        label_info: dict[str, Any],
        *,
        replaces: int | None = None,
    ) -> str:
        """Check a label, keep it as a numbered version and make it the one of its image; return the image's name.

        Args:
            image_id: name of the image.
            label_filename: the label's file.
            label_tag: such as ``final``.
            label_info: what else to keep with it.
            replaces: number of the version that it was made from, 0 for none; ``None`` for whichever there is.

        Raises:
            VersionConflictError: there is a later version than it ``replaces``.
            UserError: there is no such image, the name of the tag is none, the label is broken or of another size, or
                it would take the place of one that was never saved here; nothing has changed then.
        """
        image = self.image_path(image_id)
        # members of the enumeration are text too, but print as its name
        tag = str(getattr(label_tag, "value", label_tag))
        if not _TAG.fullmatch(tag) or len(tag.encode()) > MAX_TAG:
            raise UserError(
                f"The tag '{tag[:MAX_TAG]}' is no name: use up to {MAX_TAG} letters, digits, '_', '-' and '.'."
            )
        given = Path(label_filename)
        suffix = label_suffix(given.name)
        shape = image_shape(image)
        try:
            labels = read_labels(given, shape)
        except UserError as error:
            sentence = str(error).replace(str(given), given.name).replace(given.name, image_id + suffix)
            raise UserError(sentence) from error
        target = self.folder / LABELS_FOLDER / tag / (image_id + suffix)
        info = {**(label_info or {}), "ts": int(time.time()), "name": image_id + suffix}
        if info.get("origin") == EXTERNAL and (result := self.results.find(image_id, mask_digest(labels))):
            info |= {"origin": "accepted", **result}
        with self._changing():
            self.get_image_uri(image_id)  # another process may have removed it
            self._check_replaced(tag, image_id)
            latest = self.label_version(image_id, tag)
            if replaces not in (None, latest):
                raise VersionConflictError(
                    f"'{image_id}' has version {latest} of its label by now, yours was made from {replaces}: compare."
                )
            info["version"] = self._keep(given, tag, image_id, suffix)
            write_json(self._versions(tag, image_id) / f"{info['version']:04d}.json", info)
            _copy(given, target)
            for other in set(LABEL_SUFFIXES) - {suffix}:
                (target.parent / (PurePosixPath(image_id).name + other)).unlink(missing_ok=True)
            self._datastore.objects[image_id].labels[tag] = DataModel(info=info, ext=suffix)
        return image_id

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image under a name; return it.

        Raises:
            UserError: the file is no image that can be read, or the name leads out of the folder or is taken.
        """
        given = Path(image_filename)
        name, suffix = self._to_id(given.name)
        image_id = image_id or name
        if (
            not _NAME.fullmatch(image_id)
            or len(image_id.encode()) > MAX_NAME
            or PurePosixPath(image_id).parts[0] == LABELS_FOLDER
        ):
            raise UserError(
                f"'{image_id[:MAX_NAME]}' is no name for an image: use up to {MAX_NAME} letters, digits, '_', '-', '.' "
                "and '/'."
            )
        self._check_free(image_id, suffix)
        try:
            read_source(given)
        except UserError as error:
            raise UserError(str(error).replace(str(given), image_id + suffix)) from error
        with self._changing():
            self._check_free(image_id, suffix)  # another process may have added one
            _copy(given, self.folder / (image_id + suffix))
            info = {**(image_info or {}), "ts": int(time.time()), "name": image_id + suffix}
            self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=suffix))
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label; as a version it stays, also where somebody put it there by hand."""
        tag = str(getattr(label_tag, "value", label_tag))
        with self._lock:
            path = self.label_path(label_id, tag)
            if path.is_file() and not self._is_kept(path, tag, label_id):
                self._keep(path, tag, label_id, label_suffix(path.name))
            super().remove_label(label_id, tag)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Keep more with an image."""
        with self._changing():
            super().update_image_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Keep more with a label."""
        with self._changing():
            super().update_label_info(label_id, label_tag, info)

    def _check_free(self, image_id: str, suffix: str) -> None:
        # a file that is no image may have the name too, such as the store's own list
        if image_id in self._datastore.objects or os.path.lexists(self.folder / (image_id + suffix)):
            raise UserError(f"There is an image '{image_id}' already: give the new one another name.")

    def _check_replaced(self, tag: str, image_id: str) -> None:
        for suffix in LABEL_SUFFIXES:
            path = self.folder / LABELS_FOLDER / tag / (image_id + suffix)
            if os.path.lexists(path) and not self._is_kept(path, tag, image_id):
                name = path.relative_to(self.folder)
                raise UserError(
                    f"The label '{name}' was put there by hand and would be replaced: move it "
                    "away, remove that label, of which a version stays, or save the new one with another tag.",
                    path=name,
                    key="tag",
                )

    def _is_kept(self, label: Path, tag: str, image_id: str) -> bool:
        """Tell whether a label file is one of the versions that were saved."""
        versions = self._versions(tag, image_id).glob(f"[0-9]*{label_suffix(label.name)}")
        return any(filecmp.cmp(label, version, shallow=False) for version in versions)

    def _versions(self, tag: str, image_id: str) -> Path:
        return self.kept / LABELS_FOLDER / tag / image_id

    def _keep(self, given: Path, tag: str, image_id: str, suffix: str) -> int:
        folder = self._versions(tag, image_id)
        # an image below a folder of this one's name has its versions in a folder here
        kept = (path.name.split(".")[0] for path in folder.glob("[0-9]*.*") if path.is_file())
        number = 1 + max((int(name) for name in kept if name.isdecimal()), default=0)
        _copy(given, folder / f"{number:04d}{suffix}")
        return number

    def _to_id(self, file: str) -> tuple[str, str]:
        return split_suffix(file)

    def _list_files(self, path: str, patterns: Sequence[str]) -> dict[str, str]:
        """List images below the folder, or label files of a tag, by their paths in it."""
        if Path(path).resolve() == self.folder:
            found = find_sources(self.folder, leave_out=self.folder / LABELS_FOLDER)
            own = (file for file in found if KEPT_FOLDER not in file.relative_to(self.folder).parts)
            files = [file for file in own if _is_file(file)]
        else:
            named = (file for file in Path(path).rglob("*") if file.name.endswith(LABEL_SUFFIXES))
            files = [file for file in named if file.name[0] != "." and file.is_file()]
        names = [file.relative_to(path if Path(path).resolve() != self.folder else self.folder) for file in files]
        return {name.as_posix(): name.as_posix() for name in names}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change what the file says now, which other processes write too."""
        with self._drafting():
            yield
            self._update_datastore_file()

    @contextmanager
    def _drafting(self) -> Iterator[None]:
        with self._lock:
            if hasattr(self._draft, "model"):
                yield
                return
            self._draft.model = _copy_of(self._datastore)
            try:
                self._init_from_datastore_file()
                yield
                self._published = self._draft.model
            except BaseException:
                self._config_ts = None  # what was read of the file is lost
                raise
            finally:
                del self._draft.model

    def _reconcile_datastore(self) -> None:
        with self._drafting():
            super()._reconcile_datastore()

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        path = Path(self._datastore_config_path)
        if not path.is_file() or self._config_ts == _stamp(path):
            return
        stamp = _stamp(path)
        with reading(path, "the list of images", errors=(ValueError,), remedy="remove it, labels stay"):
            found = LocalDatastoreModel.model_validate_json(path.read_text(encoding="utf-8"))
        self._datastore = LocalDatastoreModel(
            name=found.name,
            description=found.description,
            images_dir=".",
            objects={name: entry for name, entry in found.objects.items() if _stays_inside(name, entry)},
            base_path=str(self.folder),
        )
        self._config_ts = stamp

    def _update_datastore_file(self, lock: bool = True) -> None:
        path = Path(self._datastore_config_path)
        content = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        with self._lock, atomic_file(path) as partial:
            partial.write_text(content, encoding="utf-8")
        self._config_ts = _stamp(path)


def final_labels(store: LabelStore) -> dict[str, Path]:
    """Return the files of the final labels by the names of their images."""
    return {image: store.label_path(image, DefaultLabelTag.FINAL.value) for image in store.get_labeled_images()}


def _lock_file(folder: Path) -> Path:
    """Return the file to lock, which MONAI Label names; taking the lock empties it."""
    path = folder / ".lock"
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
        raise not_ours(path, "--studies")
    return path


def _copy_of(model: LocalDatastoreModel) -> LocalDatastoreModel:
    """Return a copy that can be changed down to what is kept with an image or a label."""
    objects = {
        name: ImageLabelModel(
            image=DataModel(ext=entry.image.ext, info=dict(entry.image.info)),
            labels={tag: DataModel(ext=label.ext, info=dict(label.info)) for tag, label in entry.labels.items()},
        )
        for name, entry in model.objects.items()
    }
    return model.model_copy(update={"objects": objects})


def _stays_inside(name: str, entry: ImageLabelModel) -> bool:
    """Tell whether the files of an image and of its labels lie below the folder."""
    path = PurePosixPath(name + entry.image.ext)
    suffixes = {one.ext.lower() for one in (entry.image, *entry.labels.values())}
    return (
        not path.is_absolute()
        and ".." not in path.parts
        and suffixes <= {"", *IMAGE_SUFFIXES}
        and all(_TAG.fullmatch(tag) for tag in entry.labels)
    )


def _is_file(path: Path) -> bool:
    if kind := special_kind(path):
        logger.warning("Left out: '%s' is %s", path, kind)
    return not kind


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as partial:
        shutil.copyfile(source, partial)


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes whenever a file is replaced, even within a tick of the clock."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
