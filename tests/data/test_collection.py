"""Several data sets in one folder, and leaving one out."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from bus_monai.data import collection
from bus_monai.data.collection import read_collection
from bus_monai.data.datalist import read_datalist, write_datalist
from bus_monai.data.dataset import load_dataset
from bus_monai.data.phantoms import write_phantoms
from bus_monai.data.readers.catalogue import recognise
from tests.published_layouts import bus_bra, plain_folder


def test_a_data_set_is_left_out_and_names_do_not_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path / "phantoms", count=12, size=(64, 64))
    plain_folder(tmp_path / "mine")
    bus_bra(tmp_path / "bus_bra")
    (tmp_path / "notes").mkdir()
    asked = Mock(side_effect=recognise)
    monkeypatch.setattr(collection, "recognise", asked)
    datalist = load_dataset(tmp_path, protocol="leave_one_dataset_out:mine")
    # each folder is looked at once, a prepared one not at all
    assert [call.args[0].name for call in asked.call_args_list] == ["bus_bra", "mine", "notes"]
    assert sorted(case.id for case in datalist.test) == ["mine_a", "mine_b_2", "mine_c"]
    rest = [*datalist.training, *datalist.validation]
    assert {case.dataset for case in rest} == {"phantoms", "bus_bra"}
    assert len({case.id for case in rest}) == len(rest)
    write_datalist(tmp_path, datalist)
    assert dict(read_datalist(tmp_path).sections()) == dict(datalist.sections())


def test_one_data_set_is_no_collection(tmp_path: Path) -> None:
    plain_folder(tmp_path / "mine")
    assert read_collection(tmp_path) is None
