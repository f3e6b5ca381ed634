"""OASBUD: from echoes to an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bus_monai.data.readers.oasbud import b_mode, read_oasbud, write_oasbud_case
from tests.user_errors import raises_user_error


def pulse(samples: int, lines: int, at: int, strength: float = 1) -> np.ndarray:
    """Return an echo with a Gaussian envelope at the same depth of every line."""
    depth = np.arange(samples) - at
    wave = strength * np.exp(-((depth / 40) ** 2)) * np.cos(depth * 2 * np.pi / 6)
    return np.repeat(wave[:, None], lines, axis=1)


def test_pixels_are_square() -> None:
    # 2048 samples of 0.01925 mm under 510 lines over 38 mm
    assert b_mode(pulse(2048, 510, 1024)).shape == (round(2048 * 0.01925 / (38 / 510)), 510) == (529, 510)


def test_an_echo_lies_at_its_depth_and_has_its_strength() -> None:
    echoes = pulse(2048, 102, 600) + pulse(2048, 102, 1400, strength=0.1)
    image = b_mode(echoes)[:, 50]
    step = 2048 / len(image)
    assert image.argmax() == pytest.approx(600 / step, abs=1)
    assert image.max() == 1
    weaker = image[len(image) // 2 :]
    assert weaker.argmax() + len(image) // 2 == pytest.approx(1400 / step, abs=1)
    assert weaker.max() == pytest.approx(1 - 20 / 60, abs=0.01)
    assert image[0] == 0


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e6))
def test_values_are_in_range_and_heed_no_gain(seed: int, gain: float) -> None:
    echoes = np.random.default_rng(seed).normal(size=(90, 12))
    image = b_mode(echoes)
    assert image.min() >= 0
    assert image.max() == pytest.approx(1)
    np.testing.assert_allclose(b_mode(echoes * gain), image, atol=1e-5)


def test_image_and_mask_are_written(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    case = write_oasbud_case(read_oasbud(layouts["oasbud"]())[1], tmp_path)
    pixels, mask = np.asarray(Image.open(case.image)), np.asarray(Image.open(case.masks[0]))
    height = round(800 * 0.01925 / (38 / 102))
    assert pixels.shape == mask.shape == (height, 102)
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max()) == (20, 59)
    assert (rows.min(), rows.max()) == pytest.approx((height * 0.25, height * 0.5 - 1), abs=1)
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize("malignant", [0, 1])
def test_the_class_of_most_lesions_in_bi_rads_5_is_malignant(malignant: int, tmp_path: Path) -> None:
    from scipy.io import savemat

    lesions = np.zeros((1, 5), dtype=[(n, object) for n in ("id", "rf1", "rf2", "roi1", "roi2", "birads", "class")])
    for i, (category, kind) in enumerate((("5", 1), ("3", 0), ("5", 0), ("5", 1), ("4b", 1))):
        lesions[0, i] = (str(i), 1, 1, 1, 1, category, kind if malignant else 1 - kind)
    savemat(tmp_path / "OASBUD.mat", {"data": lesions})
    diagnoses = [case.diagnosis for case in read_oasbud(tmp_path)[::2]]
    assert diagnoses == ["malignant", "benign", "benign", "malignant", "malignant"]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "OASBUD.mat").write_bytes(b"PK no matlab file, at all" * 20)
    with raises_user_error(path=tmp_path / "OASBUD.mat"):
        read_oasbud(tmp_path)


def test_a_lesion_without_outline_is_named(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "OASBUD.mat", {"data": {"id": "a", "rf1": 1, "rf2": 1, "roi1": 1, "class": 0}})
    with raises_user_error("roi2", path=tmp_path / "OASBUD.mat"):
        read_oasbud(tmp_path)
