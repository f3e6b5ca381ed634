"""``bus-monai data``: what there is, and preparing it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from bus_monai.cli import main as cli
from bus_monai.data.datalist import read_datalist
from tests.data.label_folder import write_pictures
from tests.published_layouts import bus_bra, bus_uclm, cbis_ddsm, oasbud
from tests.user_errors import check_said


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["bus-monai", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def test_the_list_explains_each_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    assert "breast - BrEaST: 256 images of 256 patients\n  license   CC BY 4.0\n" in text
    assert [line.split()[0] for line in text.splitlines() if line[:1].strip()] == [
        "label_folder", "busi", "bus_uclm", "bus_bra", "breast", "udiat", "oasbud", "stu_hospital", "cbis_ddsm",
        "inbreast", "monai_datalist",
        "plain_folder",
    ]  # fmt: skip


def test_help_and_list_import_nothing_heavy() -> None:
    for arguments, heavy in ((["data", "prepare", "--help"], "torch monai numpy"), (["data", "list"], "torch monai")):
        code = (
            f"import sys; from bus_monai.cli.main import app\n"
            f"try: app({arguments})\n"
            f"except SystemExit: pass\n"
            f"print([m for m in {heavy.split()} if m in sys.modules])"
        )
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert output.strip().endswith("[]")


@pytest.mark.parametrize(
    ("write", "count"),
    [(bus_uclm, 4), (bus_bra, 4), (oasbud, 8), (cbis_ddsm, 3)],
)
def test_prepare(
    write: object,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, out = write.__name__, tmp_path / "out"  # type: ignore[attr-defined]
    source = write(tmp_path / "raw")  # type: ignore[operator]
    assert run("prepare", name, source, "--out", out, monkeypatch=monkeypatch) == 0
    captured = capsys.readouterr()
    datalist = read_datalist(out)
    sizes = {section: len(cases) for section, cases in datalist.sections()}
    assert sum(sizes.values()) == count
    assert captured.out == f"{out}: {', '.join(f'{size} {section}' for section, size in sizes.items())}\n"
    if write is cbis_ddsm:
        with (out / "mass_shapes.csv").open(newline="") as file:
            assert {row["id"] for row in csv.DictReader(file)} == {c.id for _, p in datalist.sections() for c in p}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ["prepare", "bus-uclm", "raw", "--out", "out"],
            ["data set", "'bus-uclm'", "'bus_uclm'", "busi", "plain_folder"],
        ),
        (["prepare", "busi", "busi.zip", "--out", "out"], ["'busi.zip'", "unpack"]),
        (
            ["prepare", "bus_bra", "raw", "--out", "out", "--protocol", "x"],
            ["protocol", "'x'", "rdau", "kfold5", "all_train", "leave_one_dataset_out"],
        ),
    ],
)
def test_errors_are_a_line_and_exit_code_2(
    arguments: list[str],
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("busi.zip").touch()
    bus_bra(Path("raw"))
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    check_said(line, *named)
    assert not Path("out").exists()


@pytest.mark.parametrize("modality", ["ultrasound", "mammogram"])
def test_phantoms_are_written_where_nothing_was(
    modality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    command = ("phantoms", modality, "--count", 3, "--seed", 5, "--out", out)
    assert run(*command, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.strip() == f"{out}: 3 {modality} phantoms"
    assert sum(len(cases) for _, cases in read_datalist(out).sections()) == 3
    assert run(*command, monkeypatch=monkeypatch) == 2
    check_said(capsys.readouterr().err, path=out, key="--out")


def test_labels_go_out_and_masks_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, out = write_pictures(tmp_path / "labels"), tmp_path / "out"
    assert run("export", labels, "--format", "datalist", "--out", out, monkeypatch=monkeypatch) == 0
    assert "3" in capsys.readouterr().out
    assert sum(len(cases) for _, cases in read_datalist(out).sections()) == 3
    assert run("export", labels, "--format", "datalist", "--out", out, monkeypatch=monkeypatch) == 2
    (labels / "a_mask.png").write_bytes((out / "masks" / "a_1.png").read_bytes())
    assert run("import", labels, labels, monkeypatch=monkeypatch) == 0
    assert (labels / "labels" / "original" / "a.png").is_file()
    (labels / "d_mask.png").write_bytes(b"no mask")
    capsys.readouterr()
    assert run("import", labels, labels, monkeypatch=monkeypatch) == 1
    assert str(labels / "d_mask.png") in capsys.readouterr().out


def test_agreement_of_two_annotators_by_both_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_pictures(tmp_path / "ann"), write_pictures(tmp_path / "bob", shift=2)
    assert run("agreement", first, second, "--out", tmp_path / "out", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "BI-RADS category: kappa 1.0000" in said
    assert said.splitlines()[-1] == str(tmp_path / "out" / "report.html")
    monkeypatch.setattr(sys, "argv", ["bus-monai", "compare", str(first), f"b={second}", "--out", str(tmp_path / "c")])
    with pytest.raises(SystemExit):
        cli.main()
    tables = [(tmp_path / name / "agreement.csv").read_text() for name in ("out", "c")]
    assert tables[0] == tables[1]
    assert "b" in (tmp_path / "c" / "report.html").read_text()
    assert run("agreement", tmp_path, second, monkeypatch=monkeypatch) == 2
