"""Several data sets in one folder, and leaving one out."""

from __future__ import annotations

from pathlib import Path

from bus_monai.data.collection import is_collection
from bus_monai.data.datalist import read_datalist, write_datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.data.phantoms import write_phantoms
from tests.published_layouts import bus_bra, plain_folder


def test_a_data_set_is_left_out_and_names_do_not_clash(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "phantoms", count=12, size=(64, 64), progress=False)
    plain_folder(tmp_path / "mine")
    bus_bra(tmp_path / "bus_bra")
    (tmp_path / "notes").mkdir()
    assert is_collection(tmp_path)
    datalist = load_dataset(tmp_path, protocol="leave_one_dataset_out:mine")
    assert sorted(case.id for case in datalist.test) == ["mine_a", "mine_b_2", "mine_c"]
    rest = [*datalist.training, *datalist.validation]
    assert {case.dataset for case in rest} == {"phantoms", "bus_bra"}
    assert len({case.id for case in rest}) == len(rest)
    write_datalist(tmp_path, datalist)
    assert dict(read_datalist(tmp_path).sections()) == dict(datalist.sections())


def test_one_data_set_is_no_collection(tmp_path: Path) -> None:
    plain_folder(tmp_path / "mine")
    assert not is_collection(tmp_path)
