"""A folder becomes a datalist or a sentence, and what is broken is named before any training."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_monai.bundle.registry import list_bundles
from bus_monai.data import dataset as prepare
from bus_monai.data.datalist import Case, Datalist, read_datalist, write_datalist
from bus_monai.data.dataset import (
    check_dataset,
    check_one_split,
    load_dataset,
    prepare_dataset,
    to_items,
    warn_of_other_split,
    without_broken,
)
from tests.published_layouts import (
    breast,
    bus_bra,
    bus_uclm,
    cbis_ddsm,
    inbreast,
    oasbud,
    plain_folder,
    stu_hospital,
    udiat,
)
from tests.user_errors import raises_user_error


def test_neither_torch_nor_monai_is_imported() -> None:
    code = (
        "import sys, bus_monai.data.dataset, bus_monai.data.dataset\n"
        "print([m for m in ('torch', 'monai', 'matplotlib') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def _save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    noise = np.random.default_rng(0).integers(1, 255, (60, 80))
    mask = np.zeros((60, 80))
    mask[10:20, 30:40] = 255
    return Case("a", _save(tmp_path / "a.png", noise), (_save(tmp_path / "m.png", mask),), "g", "benign")


def _check(case: Case) -> None:
    check_dataset(Datalist(training=[case]), sections=["training"])


def test_a_good_data_set_passes_as_it_was_written(case: Case) -> None:
    folder = case.image.parent
    write_datalist(folder, Datalist(training=[case]))
    datalist = load_dataset(folder, protocol="rdau")
    assert datalist.training == [case]
    check_dataset(datalist, sections=["training"])
    assert to_items(datalist.training) == [
        {
            "id": "a",
            "image": str(folder / "a.png"),
            "masks": [str(folder / "m.png")],
            "group": "g",
            "diagnosis": "benign",
        }
    ]


def test_phantoms_say_that_they_are_synthetic(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    write_datalist(case.image.parent, Datalist(training=[case], synthetic=True))
    with caplog.at_level(logging.WARNING, "bus_monai"):
        assert load_dataset(case.image.parent, protocol="rdau").synthetic
    assert "SYNTHETIC: generated phantoms, not patients" in caplog.text


def test_a_missing_an_empty_and_another_folder_are_named(tmp_path: Path) -> None:
    with raises_user_error(path=tmp_path / "none", key="dataset_dir"):
        load_dataset(tmp_path / "none", protocol="rdau")
    accepted = ("datalist.json", "BUSI", "BUS-UCLM", "BUS-BRA", "BrEaST", "UDIAT", "MONAI", "dataset.json")
    with raises_user_error(*accepted, path=tmp_path, key="dataset_dir"):
        load_dataset(tmp_path, protocol="rdau")
    (tmp_path / "holiday.png").touch()
    with raises_user_error(*accepted, path=tmp_path, key="dataset_dir"):
        load_dataset(tmp_path, protocol="rdau")


@pytest.mark.parametrize("write", [bus_uclm, bus_bra, breast, udiat, plain_folder])
def test_published_sets_of_image_files_are_taken_as_they_are(write: Callable[[Path], Path], tmp_path: Path) -> None:
    datalist = load_dataset(write(tmp_path / "raw"), protocol="rdau")
    check_dataset(datalist, sections=[name for name, _ in datalist.sections()])


@pytest.mark.parametrize(
    ("write", "title"),
    [(oasbud, "OASBUD"), (stu_hospital, "STU-Hospital"), (cbis_ddsm, "CBIS-DDSM (masses)")],
)
def test_other_sets_are_to_be_prepared(write: Callable[[Path], Path], title: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "raw")
    with raises_user_error(
        title, f"bus-monai data prepare {write.__name__} {folder} --out", path=folder, key="dataset_dir"
    ):
        load_dataset(folder, protocol="rdau")


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "busi.zip", "w"):
        pass
    with raises_user_error("unpack", path=tmp_path / "busi.zip", key="dataset_dir"):
        load_dataset(tmp_path / "busi.zip", protocol="rdau")


@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_truncated_png_is_named(case: Case, which: str) -> None:
    path = case.image if which == "image" else case.masks[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with raises_user_error(path=path):
        _check(case)


def test_a_mask_of_another_size_is_named(case: Case) -> None:
    _save(case.masks[0], np.zeros((80, 60)))
    with raises_user_error("80 x 60", "60 x 80", path=case.masks[0]):
        _check(case)


def test_a_black_image_is_named(case: Case) -> None:
    _save(case.image, np.zeros((60, 80)))
    with raises_user_error(path=case.image):
        _check(case)


def test_a_tumor_without_mask_is_named_and_a_normal_image_is_not(case: Case) -> None:
    with raises_user_error("malignant", path=case.image):
        _check(Case("a", case.image, (), "g", "malignant"))
    _check(Case("a", case.image, (), "g", "normal"))


def test_an_empty_section_is_named(case: Case) -> None:
    with raises_user_error("validation", "datalist.json"):
        check_dataset(Datalist(training=[case]), sections=["training", "validation"])


def test_a_broken_image_in_the_middle_is_named_and_the_rest_goes_on_if_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = plain_folder(tmp_path / "raw")
    whole = load_dataset(folder, protocol="rdau")
    broken = whole.training[0]
    broken.image.write_bytes(broken.image.read_bytes()[:40])
    sections = [name for name, _ in whole.sections()]
    with raises_user_error(path=broken.image):
        check_dataset(load_dataset(folder, protocol="rdau"), sections=sections)
    with caplog.at_level(logging.WARNING, "bus_monai"):
        rest = load_dataset(folder, protocol="rdau", skip_broken=True)
    (left_out,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert f"'{broken.image}'" in left_out
    ids = {case.id for _, cases in whole.sections() for case in cases}
    assert {case.id for _, cases in rest.sections() for case in cases} == ids - {broken.id}


def test_unlabeled_images_need_no_mask_and_the_one_they_have_is_not_read(tmp_path: Path) -> None:
    image = _save(tmp_path / "a.png", np.full((8, 8), 9))
    cases = [Case("a", image, (), "a", "benign"), Case("b", image, (tmp_path / "missing.png",), "b", "malignant")]
    datalist = Datalist(unlabeled=[*cases, Case("c", tmp_path / "missing.png", (), "c", "unknown")])
    check_dataset(Datalist(unlabeled=cases), sections=["unlabeled"])
    assert without_broken(datalist).unlabeled == cases
    with raises_user_error(path=tmp_path / "missing.png"):
        check_dataset(datalist, sections=["unlabeled"])


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
    with raises_user_error("datalist.json", path=out):
        prepare_dataset("plain_folder", source, out, protocol="rdau")
    with raises_user_error(source, path=source / "out"):
        prepare_dataset("plain_folder", source, source / "out", protocol="rdau")
    (tmp_path / "file").touch()
    with raises_user_error(path=tmp_path / "file" / "out"):
        prepare_dataset("plain_folder", source, tmp_path / "file" / "out", protocol="rdau")


def test_a_broken_image_stops_preparing_unless_it_is_skipped(tmp_path: Path) -> None:
    source = plain_folder(tmp_path / "raw")
    image = source / "a.png"
    image.write_bytes(image.read_bytes()[:40])
    with raises_user_error(path=image):
        prepare_dataset("plain_folder", source, tmp_path / "out", protocol="rdau")
    assert not (tmp_path / "out").exists()
    written = prepare_dataset("plain_folder", source, tmp_path / "out", protocol="rdau", skip_broken=True)
    assert {case.id for _, cases in written.sections() for case in cases} == {"b_2", "c"}


@pytest.mark.parametrize(
    ("before", "protocol", "prepared", "warns"),
    [
        ({"protocol": "rdau", "seed": 0}, "rdau", False, False),
        ({"protocol": "rdau", "seed": 1}, "rdau", False, True),
        ({"protocol": "rdau", "seed": 1}, "rdau", True, False),
        # a fold splits prepared folders as well
        ({"protocol": "rdau", "seed": 0}, "kfold5:1", True, True),
        ({}, "rdau", False, False),
    ],
)
def test_weights_of_another_split_may_know_what_is_tested(
    before: dict[str, object], protocol: str, prepared: bool, warns: bool, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    (tmp_path / "settings.json").write_text(json.dumps(before))
    data = tmp_path / "data"
    data.mkdir()
    if prepared:
        (data / "datalist.json").touch()
    warn_of_other_split(tmp_path / "model.pt", data, protocol=protocol, seed=0)
    warn_of_other_split(None, data, protocol=protocol, seed=0)
    assert bool(caplog.messages) == warns
    assert all("model.pt" in text and protocol in text for text in caplog.messages)


def test_every_training_that_starts_from_a_file_asks_for_its_split() -> None:
    asking = 0
    for info in list_bundles():
        settings = (config := json.loads((info.root / "configs" / "train.json").read_text()))["settings"]
        keys = {key for key in ("generator_weights", "initial_weights") if key in settings}
        asked = [
            step for step in config["initialize"]
            if isinstance(step, dict) and step["_target_"].endswith("warn_of_other_split")
        ]  # fmt: skip
        assert [step["weights"] for step in asked] == [f"@settings#{key}" for key in keys]
        asking += len(asked)
    assert asking == 4


KFOLD = [{"protocol": f"kfold5:{fold}", "seed": 0} for fold in range(5)]
SEEDS = [{"protocol": "rdau", "seed": seed} for seed in range(3)]


@pytest.mark.parametrize(
    ("learned", "protocol", "prepared", "refused"),
    [
        (KFOLD, "kfold5:0", False, True),
        # a fold splits prepared folders as well
        (KFOLD, "kfold5:0", True, True),
        (SEEDS, "rdau", False, True),
        (SEEDS, "rdau", True, False),
        ([SEEDS[0], SEEDS[0]], "rdau", False, False),
        ([KFOLD[0]], "kfold5:0", False, False),
        # of data that none has learned from
        (KFOLD, "all_train", False, False),
        (KFOLD, "all_train", True, False),
        ([{}, {}], "rdau", False, False),
    ],
)
def test_an_ensemble_is_not_tested_on_what_some_of_it_learned_from(
    learned: list[dict[str, object]], protocol: str, prepared: bool, refused: bool, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) / "model.pt" for number in range(len(learned))]
    for file, settings in zip(files, learned, strict=True):
        file.parent.mkdir()
        (file.parent / "settings.json").write_text(json.dumps(settings))
    data = tmp_path / "data"
    data.mkdir()
    if prepared:
        (data / "datalist.json").touch()
    named = [learned[0]["protocol"], learned[1]["protocol"], "all_train", "prepare"] if refused else []
    with raises_user_error(*named, key="protocol") if refused else nullcontext():
        check_one_split(",".join(map(str, files)), data, protocol=protocol, seed=0)


def test_every_evaluation_asks_whether_an_ensemble_has_one_split() -> None:
    for info in list_bundles():
        steps = json.loads((info.root / "configs" / "evaluate.json").read_text())["initialize"]
        asked = [step for step in steps if isinstance(step, dict) and step["_target_"].endswith("check_one_split")]
        assert [step["weights"] for step in asked] == ["@ckpt_path"], info.name
