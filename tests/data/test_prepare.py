"""From a published folder to a prepared one that reads back as it was written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.data import prepare
from bus_monai.data.datalist import read_datalist
from bus_monai.data.dataset import check_dataset
from bus_monai.data.prepare import prepare_dataset
from bus_monai.errors import UserError
from tests.published_layouts import bus_bra, cbis_ddsm, inbreast, oasbud, plain_folder


@pytest.mark.parametrize(
    ("write", "ids"),
    [
        (oasbud, {f"{lesion}_{view}" for lesion in ("001_OA_7", "002_OA_7", "003_OB", "004_OC") for view in "12"}),
        (cbis_ddsm, {f"Mass-Training_P_0000{number}_LEFT_CC" for number in (1, 4, 5)}),
        (plain_folder, {"a", "b_2", "c"}),
    ],
)
def test_a_prepared_set_reads_back(write: object, ids: set[str], tmp_path: Path) -> None:
    source = write(tmp_path / "raw")  # type: ignore[operator]
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    written = prepare_dataset(write.__name__, source, tmp_path / "out", protocol="rdau")  # type: ignore[attr-defined]
    datalist = read_datalist(tmp_path / "out")
    assert dict(datalist.sections()) == dict(written.sections())
    assert {case.id for _, cases in datalist.sections() for case in cases} == ids
    check_dataset(datalist, sections=[name for name, _ in datalist.sections()])
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    used = {path for _, cases in datalist.sections() for case in cases for path in (case.image, *case.masks)}
    assert used == {path.resolve() for name in ("images", "masks") for path in (tmp_path / "out" / name).iterdir()}


def test_contours_become_masks_and_mammograms_without_mass_stay_out(tmp_path: Path) -> None:
    source = inbreast(tmp_path / "raw")
    xml = (source / "AllXML" / "20586908.xml").read_text()
    for number, name in enumerate(("20587054", "20587080")):
        shutil.copy(
            source / "AllDICOMs" / "20586986_03fab0_MG_R_CC_ANON.dcm",
            source / "AllDICOMs" / f"{name}_{number}_MG_R_CC_ANON.dcm",
        )
        (source / "AllXML" / f"{name}.xml").write_text(xml)
    with (source / "INbreast.csv").open("a") as table:
        table.write("x;x;R;CC;201001;20587054;2;4b\nx;x;R;CC;201001;20587080;2;3\n")
    prepare_dataset("inbreast", source, tmp_path / "out", protocol="rdau")
    cases = {case.id: case for _, cases in read_datalist(tmp_path / "out").sections() for case in cases}
    assert sorted(cases) == ["20586908", "20586934", "20587054", "20587080"]
    assert np.asarray(Image.open(cases["20587054"].masks[0])).sum() == 48 * 255


def test_a_killed_run_leaves_no_datalist_and_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = bus_bra(tmp_path / "raw"), tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "write_datalist", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset("bus_bra", source, out, protocol="rdau")
    assert sorted(path.name for path in out.iterdir()) == ["images", "masks"]
    prepare_dataset("bus_bra", source, out, protocol="rdau")
    assert sum(len(cases) for _, cases in read_datalist(out).sections()) == 4


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    source, out = plain_folder(tmp_path / "raw"), tmp_path / "out"
    prepare_dataset("plain_folder", source, out, protocol="rdau")
    with pytest.raises(UserError) as error:
        prepare_dataset("plain_folder", source, out, protocol="rdau")
    assert str(error.value) == f"'{out}' has a datalist.json already: give another folder, or remove it."
    with pytest.raises(UserError) as error:
        prepare_dataset("plain_folder", source, source / "out", protocol="rdau")
    assert str(error.value) == f"'{source}/out' lies in '{source}', which is left as it is: give a folder elsewhere."
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^Cannot write into '.*file/out' \(.*\): check its permissions and the space"):
        prepare_dataset("plain_folder", source, tmp_path / "file" / "out", protocol="rdau")


def test_a_broken_image_stops_preparing_unless_it_is_skipped(tmp_path: Path) -> None:
    source = plain_folder(tmp_path / "raw")
    image = source / "a.png"
    image.write_bytes(image.read_bytes()[:40])
    with pytest.raises(UserError, match=rf"'{image}' cannot be decoded"):
        prepare_dataset("plain_folder", source, tmp_path / "out", protocol="rdau")
    assert not (tmp_path / "out").exists()
    written = prepare_dataset("plain_folder", source, tmp_path / "out", protocol="rdau", skip_broken=True)
    assert {case.id for _, cases in written.sections() for case in cases} == {"b_2", "c"}
