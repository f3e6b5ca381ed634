"""Several data sets in one folder: their copies on one side of a split, and what each must be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from bus_monai.data import dataset as collection
from bus_monai.data.datalist import read_datalist, write_datalist
from bus_monai.data.dataset import (
    load_dataset,
    read_collection,
)
from bus_monai.data.phantoms.ultrasound import write_phantoms
from bus_monai.data.readers.catalog import recognize
from tests.published_layouts import (
    bus_bra,
    oasbud,
    plain_folder,
    stu_hospital,
)
from tests.user_errors import raises_user_error


def test_a_data_set_is_left_out_and_names_do_not_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path / "phantoms", count=12, size=(64, 64))
    plain_folder(tmp_path / "mine")
    bus_bra(tmp_path / "bus_bra")
    (tmp_path / "notes").mkdir()
    asked = Mock(side_effect=recognize)
    monkeypatch.setattr(collection, "recognize", asked)
    datalist = load_dataset(tmp_path, protocol="leave_one_dataset_out:mine")
    # each folder is looked at once, a prepared one not at all
    assert [call.args[0].name for call in asked.call_args_list] == [tmp_path.name, "bus_bra", "mine", "notes"]
    assert sorted(case.id for case in datalist.test) == ["mine_a", "mine_b_2", "mine_c"]
    rest = [*datalist.training, *datalist.validation]
    assert {case.dataset for case in rest} == {"phantoms", "bus_bra"}
    assert len({case.id for case in rest}) == len(rest)
    write_datalist(tmp_path, datalist)
    assert dict(read_datalist(tmp_path).sections()) == dict(datalist.sections())


def test_one_data_set_is_no_collection(tmp_path: Path) -> None:
    plain_folder(tmp_path / "mine")
    assert read_collection(tmp_path) is None


@pytest.mark.parametrize("protocol", ["kfold5:0", "leave_one_dataset_out:one"])
def test_copies_in_another_set_are_on_one_side(protocol: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_phantoms(tmp_path / "one", count=12, size=(64, 64))
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    write_phantoms(tmp_path / "third", count=12, size=(64, 64), seed=1)
    datalist = load_dataset(tmp_path, protocol=protocol)
    sides = [
        {case.image.read_bytes() for case in cases} for cases in (datalist.training, datalist.validation, datalist.test)
    ]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    left_out = [text for text in caplog.messages if "12 images of other data sets" in text]
    assert len(left_out) == (protocol != "kfold5:0")
    assert sum(len(cases) for _, cases in datalist.sections()) == 36 - 12 * len(left_out)


def test_unlabeled_images_of_a_set_among_others_are_left_out_and_phantoms_stay_synthetic(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_out = {}
    for seed, name in enumerate(("one", "other")):
        whole = read_datalist(write_phantoms(tmp_path / name, count=12, size=(64, 64), seed=seed))
        cases = [replace(case, masks=(), diagnosis="unknown") for case in whole.training]
        write_datalist(tmp_path / name, replace(whole, training=(), unlabeled=cases))
        left_out[name] = len(cases)
    datalist = load_dataset(tmp_path, protocol="all_train")
    assert len(datalist.training) == 24 - sum(left_out.values())
    assert all(case.masks or case.diagnosis == "normal" for case in datalist.training)
    assert datalist.synthetic
    assert "SYNTHETIC" in caplog.text
    for name, count in left_out.items():
        assert f"Left out: {count} unlabeled images of '{tmp_path / name}'" in caplog.messages


@pytest.mark.parametrize("write", [oasbud, stu_hospital])
def test_a_set_among_others_that_must_be_prepared_is_named(write: Callable[[Path], Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        plain_folder(tmp_path / name)
    folder = write(tmp_path / "raw")
    with raises_user_error(f"bus-monai data prepare {write.__name__} {folder} --out", path=folder, key="dataset_dir"):
        load_dataset(tmp_path, protocol="rdau")


def test_folders_of_any_name_give_ids_that_a_datalist_takes(tmp_path: Path) -> None:
    plain_folder(tmp_path / "other set")
    bus_bra(tmp_path / "Gerät")
    datalist = load_dataset(tmp_path, protocol="leave_one_dataset_out:other set")
    assert [case.id for case in datalist.test] == ["other_set_a", "other_set_b_2", "other_set_c"]
    write_datalist(tmp_path, datalist)
    assert dict(read_datalist(tmp_path).sections()) == dict(datalist.sections())


def test_two_images_of_one_id_are_an_error(tmp_path: Path) -> None:
    for name in ("other set", "other_set"):
        plain_folder(tmp_path / name)
    with raises_user_error("'other_set_a'", f"'{tmp_path / 'other set'}'", f"'{tmp_path / 'other_set'}'"):
        load_dataset(tmp_path, protocol="rdau")
