"""BUS-UCLM: colors, classes, and real images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bus_monai.data.dataset import check_dataset, load_dataset
from bus_monai.data.readers.bus_uclm import is_bus_uclm, read_bus_uclm, write_bus_uclm_case
from tests.user_errors import raises_user_error


def test_colors_tell_the_diagnosis_without_table(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    assert [case.diagnosis for case in read_bus_uclm(folder)] == ["benign", "normal", "malignant", "benign"]


def test_colors_tell_the_set_without_table_but_gray_masks_do_not(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    assert is_bus_uclm(folder)
    for mask in (folder / "masks").iterdir():
        Image.open(mask).convert("L").save(mask)
    assert not is_bus_uclm(folder)


def test_a_broken_mask_is_named(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").unlink()
    (folder / "masks" / "ALWI_000.png").write_bytes(b"\x89PNG")
    with raises_user_error(path=folder / "masks" / "ALWI_000.png"):
        read_bus_uclm(folder)


def test_masks_are_written_without_colors(layouts: dict[str, Callable[[], Path]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True)
    for case in read_bus_uclm(layouts["bus_uclm"]()):
        written = write_bus_uclm_case(case, out)
        assert written.image == out / "images" / f"{case.id}.png"
        assert written.image.read_bytes() == case.image.read_bytes()
        with Image.open(written.masks[0]) as mask, Image.open(case.masks[0]) as colored:
            assert mask.mode == "L"
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(colored).any(axis=-1) * 255)


def test_a_table_without_labels_is_named(layouts: dict[str, Callable[[], Path]]) -> None:
    folder = layouts["bus_uclm"]()
    (folder / "INFO.csv").write_text("Image,Label\nALWI_000.png,Benign\n")
    with raises_user_error(path=folder / "INFO.csv", key="Image"):
        read_bus_uclm(folder)


def test_real_images(shared: Path) -> None:
    folder = shared / "data" / "bus_uclm"
    cases = read_bus_uclm(folder)
    assert Counter(case.diagnosis for case in cases) == {"benign": 56, "malignant": 39, "normal": 116}
    assert len({case.group for case in cases}) == 13
    datalist = load_dataset(folder, protocol="rdau")
    assert sum(len(part) for _, part in datalist.sections()) == 95
    patients = [{case.group for case in part} for _, part in datalist.sections()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    check_dataset(datalist, sections=["training", "validation", "test"])
