"""OASBUD (Piotrzkowska-Wróblewska et al., Medical Physics 44, 2017, doi 10.1002/mp.12538)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bus_monai.data.datalist import Case, Diagnosis
from bus_monai.data.readers.folder import IMAGE_FOLDER, case_id, require_folder, write_masks
from bus_monai.errors import UserError, reading

MAT_FILE = "OASBUD.mat"
MAT_FIELDS = ("id", "rf1", "rf2", "roi1", "roi2", "class")
VIEWS = ("1", "2")
DIAGNOSES: dict[str, Diagnosis] = {"0": "benign", "1": "malignant"}
SWAPPED_DIAGNOSES: dict[str, Diagnosis] = {"0": "malignant", "1": "benign"}

SOUND_MM_PER_S = 1_540_000
SAMPLES_PER_S = 40_000_000
APERTURE_MM = 38
"""Width of the L14-5/38 array over which the authors' example spreads the lines."""
RANGE_DB = 60


def is_oasbud(folder: Path) -> bool:
    """Whether ``folder`` has ``OASBUD.mat``."""
    return (folder / MAT_FILE).is_file()


def read_oasbud(folder: str | Path) -> list[Case]:
    """Read ``OASBUD.mat``: raw echoes of two views of each lesion, with their outlines.

    The struct array ``data`` has ``id``, ``rf1``, ``rf2`` (samples, lines), ``roi1``, ``roi2`` of the same size,
    ``birads`` and ``class``. Users of the set disagree on whether 0 means benign or malignant: benign is taken, unless
    BI-RADS 3 and 5 say otherwise. Ids are ``<number of the lesion>_<id>_<view>``. The group is ``id``, which few
    lesions share: it does not tell all the lesions of a woman. The file holds no image files, so that every path is
    that of the file itself: ``write_oasbud_case`` makes the images.

    Raises:
        UserError: the file is missing, cannot be read, or lacks a field.
    """
    path = require_folder(folder) / MAT_FILE
    lesions = _lesions(path)
    diagnoses = _diagnoses(lesions)
    cases = []
    for number, lesion in enumerate(lesions, start=1):
        group = case_id(str(lesion["id"]).strip())
        diagnosis = diagnoses.get(str(lesion["class"]).strip(), "unknown")
        cases += [Case(f"{number:03}_{group}_{view}", path, (path,), group, diagnosis) for view in VIEWS]
    return cases


def write_oasbud_case(case: Case, out: Path) -> Case:
    """Write the image and the mask of ``case`` as PNG files into ``out``; return the case there."""
    lesion = _lesions(case.image)[int(case.id.split("_")[0]) - 1]
    view = case.id[-1]
    pixels = b_mode(np.asarray(lesion[f"rf{view}"], dtype=np.float64))
    roi = np.asarray(lesion[f"roi{view}"]) > 0
    image = out / IMAGE_FOLDER / f"{case.id}.png"
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(image)
    return replace(case, image=image, masks=write_masks(case, out, [_to_square_pixels(roi) >= 0.5]))


def b_mode(echoes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn raw echoes into an image: envelope by the Hilbert transform, square pixels, logarithm of 60 dB.

    Lines of a linear array are parallel, so that scan conversion is a change of the sampling: square pixels as wide as
    the lines lie apart, 38 mm / 510 = 0.075 mm in the set. Averaging envelopes along a line keeps speckle unaliased.

    Args:
        echoes: (samples, lines), sampled at 40 MHz.

    Returns:
        Values (H, W) in [0, 1], 1 for the strongest echo and 0 for 60 dB below.
    """
    from scipy.signal import hilbert

    envelope = _to_square_pixels(np.abs(hilbert(echoes - echoes.mean(axis=0), axis=0)))
    relative = envelope / max(float(envelope.max()), 1e-12)
    decibels = 20 * np.log10(np.maximum(relative, 1e-12))
    return np.asarray(np.clip(decibels / RANGE_DB + 1, 0, 1), dtype=np.float32)


def _diagnoses(lesions: Sequence[dict[str, Any]]) -> dict[str, Diagnosis]:
    # at most 2 % of BI-RADS 3 are malignant and at least 95 % of BI-RADS 5
    likely = {"3": "benign", "5": "malignant"}
    known = [
        (str(lesion["class"]).strip(), likely[category])
        for lesion in lesions
        if (category := str(lesion.get("birads", "")).strip()) in likely
    ]
    agreeing = sum(DIAGNOSES.get(number) == diagnosis for number, diagnosis in known)
    opposing = sum(SWAPPED_DIAGNOSES.get(number) == diagnosis for number, diagnosis in known)
    return SWAPPED_DIAGNOSES if opposing > agreeing else DIAGNOSES


def _to_square_pixels(values: NDArray[Any]) -> NDArray[np.float32]:
    samples, lines = values.shape
    sample_mm = SOUND_MM_PER_S / SAMPLES_PER_S / 2
    rows = max(round(samples * sample_mm / (APERTURE_MM / lines)), 1)
    scaled = Image.fromarray(values.astype(np.float32)).resize((lines, rows), Image.Resampling.BOX)
    return np.asarray(scaled, dtype=np.float32)


@lru_cache(maxsize=1)
def _lesions(path: Path) -> Sequence[dict[str, Any]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise UserError(f"'{path}' does not exist: give the folder with the file {MAT_FILE} of OASBUD.")
    errors = (ValueError, TypeError, NotImplementedError, KeyError, MatReadError)
    with reading(path, "a MATLAB file with 'data'", errors=errors, remedy="download it again"):
        data = loadmat(path, simplify_cells=True)["data"]
    lesions = [data] if isinstance(data, dict) else list(data)
    for lesion in lesions:
        missing = [name for name in MAT_FIELDS if not isinstance(lesion, dict) or name not in lesion]
        if missing:
            raise UserError(f"'{path}' has a lesion without the field '{missing[0]}': download it again.")
    return lesions
