"""Tiny files in the layouts of published data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from openpyxl import Workbook
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SIZE = (24, 32)


def noise(*names: object) -> np.ndarray:
    seed = [byte for name in names for byte in str(name).encode()]
    return np.random.default_rng(seed).integers(1, 255, SIZE, dtype=np.uint8)


def square(row: int = 4, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[row : row + 6, 8:16] = 255
    return mask


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def save_dicom(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    bits = pixels.dtype.itemsize * 8
    dataset.set_pixel_data(pixels, "MONOCHROME2", bits, generate_instance_uid=False)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def save_xlsx(path: Path, rows: list[list[object]]) -> Path:
    workbook = Workbook()
    for row in rows:
        workbook.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook.save(path)
    return path


def bus_uclm(folder: Path) -> Path:
    colors = {"ALWI_000": (0, 255, 0), "ALWI_001": (0, 0, 0), "CAWI_000": (255, 0, 0), "ORPE_004": (0, 255, 0)}
    labels = {(0, 255, 0): "Benign", (255, 0, 0): "Malignant", (0, 0, 0): "Normal"}
    rows = ["Image;Label;Resolution;Doppler;Marks;Combined"]
    for name, color in colors.items():
        save(folder / "images" / f"{name}.png", noise(name))
        save(folder / "masks" / f"{name}.png", (square()[..., None] // 255) * np.array(color, np.uint8))
        rows.append(f"{name}.png;{labels[color]};32x24;No;No;No")
    (folder / "INFO.csv").write_text("\n".join(rows) + "\n")
    return folder


def bus_bra(folder: Path) -> Path:
    rows = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    cases = {"0001-l": (1, "benign"), "0001-r": (1, "benign"), "0002-s": (2, "malignant"), "0003-l": (3, "benign")}
    for name, (case, pathology) in cases.items():
        save(folder / "Images" / f"bus_{name}.png", noise(name))
        save(folder / "Masks" / f"mask_{name}.png", square())
        rows.append(f'bus_{name},{case},Cyst,{pathology},2,GE,32,24,right,"[1,2,3,4]"')
    (folder / "bus_data.csv").write_text("\n".join(rows) + "\n")
    return folder


def breast(folder: Path) -> Path:
    pixels = folder / "BrEaST-Lesions_USG-images_and_masks"
    rows: list[list[object]] = [
        [
            "CaseID",
            "Image_filename",
            "Mask_tumor_filename",
            "Mask_other_filename",
            "Pixel_size",
            "Shape",
            "Classification",
        ],
        [1, "case001.png", "case001_tumor.png", "case001_other1.png", 0.007, "oval", "benign"],
        [2, "case002.png", "case002_tumor1.png&case002_tumor2.png", None, 0.007, "irregular", "malignant"],
        [45, "case045.png", None, None, 0.007, "not applicable", "normal"],
        [46, "case046.png", "case046_tumor.png", None, 0.007, "round", "benign"],
    ]
    for _, image, tumors, others, *_ in rows[1:]:
        save(pixels / str(image), noise(image))
        for number, name in enumerate(f"{tumors or ''}&{others or ''}".split("&")):
            if name:
                save(pixels / name, square(4 + 6 * number))
    save_xlsx(folder / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx", rows)
    return folder


def udiat(folder: Path) -> Path:
    for number in (1, 2, 3, 14):
        save(folder / "original" / f"{number:06}.png", noise(number))
        save(folder / "GT" / f"{number:06}.png", square())
    types = {1: "Benign", 2: "Malignant", 3: "Benign", 14: "Benign"}
    save_xlsx(folder / "DatasetB.xlsx", [["Image", "Type"], *([number, kind] for number, kind in types.items())])
    return folder


def oasbud(folder: Path) -> Path:
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    samples, lines = 800, 102
    depth = np.arange(samples)[:, None]
    roi = np.zeros((samples, lines), np.uint8)
    roi[200:400, 20:60] = 1
    lesions = np.zeros((1, 4), dtype=[(n, object) for n in ("id", "rf1", "rf2", "roi1", "roi2", "birads", "class")])
    for i, (patient, kind) in enumerate((("OA 7", 0), ("OA 7", 1), ("OB", 1), ("OC", 0))):
        echoes = [np.sin(depth * np.pi / 2) * rng.rayleigh(size=(samples, lines)) for _ in range(2)]
        lesions[0, i] = (patient, *echoes, roi, roi, "4a", kind)
    folder.mkdir(parents=True)
    savemat(folder / "OASBUD.mat", {"data": lesions})
    return folder


def stu_hospital(folder: Path) -> Path:
    """Masks are larger than their images and gray at their edges."""
    for number in (1, 2, 10):
        save(folder / "Hospital" / f"Test_Image_{number}.png", noise(number))
        mask = Image.fromarray(square()).resize((3 * SIZE[1], 3 * SIZE[0]), Image.Resampling.BILINEAR)
        save(folder / "Hospital" / f"mask_{number}.png", np.asarray(mask))
    return folder


CBIS_HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path\n"
)


def cbis_ddsm(folder: Path) -> Path:
    """Two masses in the first mammogram; the crop comes before the mask in one folder and after it in the other."""
    masses = [
        ("P_00001", 1, "IRREGULAR-ARCHITECTURAL_DISTORTION", "MALIGNANT"),
        ("P_00001", 2, "OVAL", "BENIGN_WITHOUT_CALLBACK"),
        ("P_00004", 1, "ROUND", "BENIGN"),
        ("P_00005", 1, "LOBULATED", "BENIGN"),
    ]
    text = CBIS_HEADER
    for patient, number, shape, pathology in masses:
        image = f"Mass-Training_{patient}_LEFT_CC"
        mask = f"{image}_{number}"
        text += f"{patient},3,LEFT,CC,{number},mass,{shape},SPICULATED,4,{pathology},4,"
        text += f'{image}/1.3/1.4/000000.dcm,{mask}/1.5/1.6/000000.dcm,"{mask}/1.5/1.6/000001.dcm\n"\n'
        save_dicom(folder / "CBIS-DDSM" / image / "08-07-2016" / "1-1.dcm", noise(patient).astype(np.uint16) * 200)
        names = ("1-1.dcm", "1-2.dcm") if number == 1 else ("1-2.dcm", "1-1.dcm")
        save_dicom(folder / "CBIS-DDSM" / mask / "08-07-2016" / names[0], noise(patient)[:8, :8].copy())
        save_dicom(folder / "CBIS-DDSM" / mask / "08-07-2016" / names[1], square(4 + 6 * number))
    (folder / "mass_case_description_train_set.csv").write_text(text)
    return folder


INBREAST_XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Images</key><array><dict><key>ROIs</key><array>{rois}</array></dict></array></dict>
</plist>
"""
ROI = "<dict><key>Name</key><string>{name}</string><key>Point_px</key><array>{points}</array></dict>"


def inbreast(folder: Path) -> Path:
    rows = ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"]
    squares = {"Mass": "7.5 3.5,15.5 3.5,15.5 9.5,7.5 9.5", "Calcification": "1 1", "mass": "20 10,24 10,24 14,20 14"}
    regions = {"20586908": ["Mass", "Calcification"], "20586934": ["Mass", "mass"], "20586960": ["Calcification"]}
    categories = {"20586908": "4a", "20586934": "2", "20586960": "5", "20586986": "1"}
    for i, (name, category) in enumerate(categories.items()):
        patient = "6c613a14b80a8591" if i < 2 else f"0{i}fab0"
        save_dicom(folder / "AllDICOMs" / f"{name}_{patient}_MG_R_CC_ANON.dcm", noise(name).astype(np.uint16) * 16)
        rows.append(f"removed;removed;R;CC;201001;{name};2;{category}")
        rois = ""
        for region in regions.get(name, []):
            points = "".join(f"<string>({x}, {y})</string>" for x, y in (p.split() for p in squares[region].split(",")))
            rois += ROI.format(name=region, points=points)
        if rois:
            xml = folder / "AllXML" / f"{name}.xml"
            xml.parent.mkdir(exist_ok=True)
            xml.write_text(INBREAST_XML.format(rois=rois))
    (folder / "INbreast.csv").write_text("\n".join([*rows, ";;;;;;;"]) + "\n")
    return folder


def plain_folder(folder: Path) -> Path:
    for name in ("a", "b (2)", "c"):
        save(folder / f"{name}.png", noise(name))
        save(folder / f"{name}_mask.png", square())
    save(folder / "c_mask_1.png", square(12))
    return folder


LAYOUTS = (bus_uclm, bus_bra, breast, udiat, oasbud, stu_hospital, cbis_ddsm, inbreast, plain_folder)
