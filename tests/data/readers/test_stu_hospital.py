"""STU-Hospital: masks of another size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bus_monai.data.readers.stu_hospital import read_stu_hospital, write_stu_hospital_case
from tests.published_layouts import square


def test_masks_fit_their_images(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    case = read_stu_hospital(layouts["stu_hospital"]())[2]
    published = np.asarray(Image.open(case.masks[0]))
    assert published.shape == tuple(3 * side for side in square().shape)
    assert len(np.unique(published)) > 2
    written = write_stu_hospital_case(case, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(written.masks[0])), square())
    assert written.image.read_bytes() == case.image.read_bytes()
