"""What a segmentation may write, and what the files are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath

from bus_monai.errors import UserError
from bus_monai.source import image_stem

ENDINGS = {
    "seg": "_seg.dcm",
    "sr": "_sr.dcm",
    "overlay": "_overlay.png",
    "png": "_mask.png",
    "nifti": "_mask.nii.gz",
    "sc": "_sc.dcm",
}
"""What can be written, and how its name ends."""
DICOM_KINDS = frozenset({"seg", "sr", "sc"})
"""Written for DICOM sources alone: they carry its patient and study."""
_LIKE_A_FRAME = re.compile(r"_frame\d+$")


def parse_kinds(text: str) -> tuple[str, ...]:
    """Read ``seg,sr,png``; kinds come in the order of ``ENDINGS``.

    Raises:
        UserError: a kind that there is not, or none.
    """
    wanted = {word.strip() for word in text.split(",")}
    unknown = sorted(wanted - set(ENDINGS))
    if unknown:
        raise UserError(f"--write names '{unknown[0]}': use some of {', '.join(ENDINGS)}.")
    return tuple(kind for kind in ENDINGS if kind in wanted)


def candidate_names(relative: PurePosixPath) -> Iterator[str]:
    """Yield names without ending for the outputs of a file, the nicest first, of which one is to be chosen.

    ``a/b.dcm`` gives ``a/b``, then ``a/b_dcm``, ``a/b_dcm_2``, ... No two different names give the same file, whatever
    the kind and the frame.
    """
    stem = image_stem(relative.name)
    # 'b_frame003' is for the third frame of a cine 'b'
    if stem and not _LIKE_A_FRAME.search(stem):
        yield str(relative.with_name(stem))
    full = str(relative.with_name(relative.name.replace(".", "_")))
    if not _LIKE_A_FRAME.search(full):
        yield full
    yield from (f"{full}_{number}" for number in count(2))


def output_path(out: Path, name: str, kind: str, *, frame: int | None = None, frames: int = 1) -> Path:
    """Return the path of one output.

    Args:
        out: folder of all outputs.
        name: one of :func:`candidate_names`.
        kind: one of ``ENDINGS``.
        frame: of a cine, from 0, where there is a file a frame.
        frames: of the cine, which decides on the digits, at least three.
    """
    return out / (name + ("" if frame is None else frame_mark(frame, frames)) + ENDINGS[kind])


def frame_mark(frame: int, frames: int) -> str:
    """Return what stands in the name of a file of one frame of a cine, such as ``_frame007``, counted from 0."""
    return f"_frame{frame:0{max(3, len(str(frames - 1)))}d}"
