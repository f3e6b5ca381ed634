"""What an inference task answers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus_monai.inference.findings import MOST_LESIONS
from bus_monai.label.contours import TOLERANCE, label_contours
from bus_monai.label.label_file import usual_suffix, write_labels

LESIONS = {f"lesion {number}": number for number in range(1, MOST_LESIONS + 1)}
"""Names of label values: a lesion has the same in every frame of a cine."""


class ResultFiles:
    """New files in a folder that ends with the process.

    It is apart, since MONAI Label's client saves under the same name in the common temporary folder.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bus_monai-")

    def make(self, suffix: str, write: Callable[[Path], object]) -> Path:
        """Return a new file that ``write`` has filled; there is none where that fails."""
        with tempfile.NamedTemporaryFile(dir=self._folder.name, suffix=suffix, delete=False) as file:
            output = Path(file.name)
        try:
            write(output)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
        return output

    def write(
        self, labels: Sequence[NDArray[np.integer]], image: Path, request: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Path:
        """Return a new file of the labels (H, W), one a frame, of the kind that is asked for as ``result_extension``.

        Without it NIfTI images and cines give ``.nii.gz``, others ``.png``.

        Raises:
            UserError: there is no such kind, or a PNG is asked for several frames.
        """
        suffix = request.get("result_extension") or usual_suffix(len(labels), image)
        if suffix == ".json":
            return self.make(suffix, lambda path: path.write_text(json.dumps(params["contours"]), encoding="utf-8"))
        return self.make(suffix, lambda path: write_labels(labels, image, path))


def describe(labels: Sequence[NDArray[np.integer]], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of the label values (H, W) that there are, and their contours of the ``tolerance`` asked for."""
    return {
        "label_names": {name: n for name, n in LESIONS.items() if any((frame == n).any() for frame in labels)},
        "contours": label_contours(labels, tolerance=float(request.get("tolerance", TOLERANCE))),
    }
