"""Which files of a folder are images, and how many frames they hold."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from pydicom.data import get_testdata_file

from bus_monai.sources.listing import list_sources

GRAY = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8


def test_list_holds_images_frames_and_broken_files_but_no_masks(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1).png")
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1)_mask.png")
    Image.fromarray(GRAY).save(tmp_path / "b" / "a (1)_mask_1.png")
    Image.fromarray(GRAY).save(tmp_path / "._a.png")
    (tmp_path / "broken.png").touch()
    (tmp_path / "garbage.dcm").write_bytes(b"abc" * 100)
    (tmp_path / "notes.txt").write_text("read me")
    (tmp_path / "near.csv").touch()
    (tmp_path / "cine").write_bytes(Path(get_testdata_file("OBXXXX1A_rle_2frame.dcm")).read_bytes())
    (tmp_path / "report.dcm").write_bytes(Path(get_testdata_file("reportsi.dcm")).read_bytes())
    (tmp_path / "seg.dcm").write_bytes(Path(get_testdata_file("liver_1frame.dcm")).read_bytes())
    nib.save(nib.Nifti1Image(GRAY, np.eye(4)), tmp_path / "c.nii.gz")
    listed = [(str(path.relative_to(tmp_path)), frame) for path, frame in list_sources(tmp_path)]
    assert listed == [
        ("b/a (1).png", 0),
        ("broken.png", 0),
        ("c.nii.gz", 0),
        ("cine", 0),
        ("cine", 1),
        ("garbage.dcm", 0),
    ]
