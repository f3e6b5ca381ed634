"""Catalog of the published data sets that have a reader. Imports neither torch nor MONAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bus_monai.data.datalist import Case
from bus_monai.data.readers.folder import copy_case
from bus_monai.data.readers.mammography import (
    is_cbis_ddsm,
    is_inbreast,
    read_cbis_ddsm,
    read_inbreast,
    write_cbis_ddsm_case,
    write_inbreast_case,
    write_mass_shapes,
)
from bus_monai.data.readers.oasbud import is_oasbud, read_oasbud, write_oasbud_case
from bus_monai.data.readers.own_images import (
    is_label_folder,
    is_monai_datalist,
    is_plain_folder,
    read_label_folder,
    read_monai_datalist,
    read_plain_folder,
    write_own_shapes,
)
from bus_monai.data.readers.ultrasound import (
    is_breast,
    is_bus_bra,
    is_bus_uclm,
    is_busi,
    is_stu_hospital,
    is_udiat,
    read_breast,
    read_bus_bra,
    read_bus_uclm,
    read_busi,
    read_stu_hospital,
    read_udiat,
    write_breast_shapes,
    write_bus_uclm_case,
    write_stu_hospital_case,
)
from bus_monai.errors import check_choice


@dataclass(frozen=True)
class PublishedSet:
    """A published data set, or a layout for one's own images.

    Args:
        name: as given to ``bus-monai data prepare``.
        title: as given in papers.
        size: number of images and patients.
        license: what its owners allow; where statements differ, all of them.
        citation: with DOI.
        url: where to get it.
        flaws: what to beware of.
        recognizes: tells whether a folder has its layout.
        read: lists the cases of a folder.
        write: writes a case into a prepared folder, and returns the case there.
        convert: whether its pixels or masks are no image files or do not fit, so that it must be prepared before use.
        write_tables: writes further tables of the folder, the first argument, into the prepared one.
    """

    name: str
    title: str
    size: str
    license: str
    citation: str
    url: str
    flaws: str
    recognizes: Callable[[Path], bool]
    read: Callable[[str | Path], list[Case]]
    write: Callable[[Case, Path], Case] = copy_case
    convert: bool = False
    write_tables: Callable[[Path, Path], None] | None = None


PUBLISHED_SETS = (
    PublishedSet(
        name="label_folder",
        title="labels of bus-monai label",
        size="any",
        license="your own",
        citation="none",
        url="images with their labels in labels/final, as bus-monai label and MONAI Label keep them",
        flaws="Images without a label are left out. Diagnoses are those that annotators filled in; groups hold the "
        "images of a patient, as DICOM tells them, and near-duplicates.",
        recognizes=is_label_folder,
        read=read_label_folder,
    ),
    PublishedSet(
        name="busi",
        title="BUSI",
        size="780 images of 600 patients",
        license="not stated by the authors; copies state licenses of their own",
        citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020, "
        "doi 10.1016/j.dib.2019.104863",
        url="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        flaws="Duplicates, some filed under two classes, images of the axilla, burned-in text and calipers (Pawłowska "
        "et al., 2023, doi 10.1016/j.dib.2023.109247). Patients are not named, so that groups hold near-duplicates.",
        recognizes=is_busi,
        read=read_busi,
    ),
    PublishedSet(
        name="bus_uclm",
        title="BUS-UCLM",
        size="683 images of 38 patients",
        license="CC BY 4.0 or CC BY-NC, its versions and copies differ",
        citation="Vallez et al., BUS-UCLM: breast ultrasound lesion segmentation dataset, Scientific Data 12, 2025, "
        "doi 10.1038/s41597-025-04562-3",
        url="https://data.mendeley.com/datasets/7fvgj4jsp7",
        flaws="419 of the images are normal; few patients with many images each, so that only a split by patient is "
        "fair. Some frames show Doppler, marks or two views; in a few the mask may have another size.",
        recognizes=is_bus_uclm,
        read=read_bus_uclm,
        write=write_bus_uclm_case,
    ),
    PublishedSet(
        name="bus_bra",
        title="BUS-BRA",
        size="1875 images of 1064 patients",
        license="see its Zenodo page, which asks to cite the paper; users give CC BY 4.0 or no standard license",
        citation="Gómez-Flores et al., BUS-BRA: a breast ultrasound dataset for assessing computer-aided diagnosis "
        "systems, Medical Physics 51, 2024, doi 10.1002/mp.16812",
        url="https://zenodo.org/records/8231412",
        flaws="Two images of most patients, so that a random split leaks. No normal images.",
        recognizes=is_bus_bra,
        read=read_bus_bra,
    ),
    PublishedSet(
        name="breast",
        title="BrEaST",
        size="256 images of 256 patients",
        license="CC BY 4.0",
        citation="Pawłowska et al., Curated benchmark dataset for ultrasound based breast lesion analysis, Scientific "
        "Data 11, 2024, doi 10.1038/s41597-024-02984-z",
        url="https://www.cancerimagingarchive.net/collection/breast-lesions-usg/",
        flaws="Only 4 normal images. Masks of other findings than tumors are left out.",
        recognizes=is_breast,
        read=read_breast,
        write_tables=write_breast_shapes,
    ),
    PublishedSet(
        name="udiat",
        title="UDIAT",
        size="163 images of 163 women",
        license="research only, by an agreement on request",
        citation="Yap et al., Automated breast ultrasound lesions detection using convolutional neural networks, IEEE "
        "Journal of Biomedical and Health Informatics 22, 2018, doi 10.1109/JBHI.2017.2731873",
        url="https://helward.mmu.ac.uk/STAFF/m.yap/dataset.php",
        flaws="Also known as Dataset B. Small, without normal images. Near-duplicates, if any, share a group.",
        recognizes=is_udiat,
        read=read_udiat,
    ),
    PublishedSet(
        name="oasbud",
        title="OASBUD",
        size="200 scans of 100 lesions of 78 women",
        license="CC BY-NC 4.0",
        citation="Piotrzkowska-Wróblewska et al., Open access database of raw ultrasonic signals acquired from "
        "malignant and benign breast lesions, Medical Physics 44, 2017, doi 10.1002/mp.12538",
        url="https://zenodo.org/records/545928",
        flaws="Raw echoes, no images: looks depend on the conversion. Two views per lesion, several lesions in some "
        "women, of which the file does not tell all: a split by group may still part a woman's lesions.",
        recognizes=is_oasbud,
        read=read_oasbud,
        write=write_oasbud_case,
        convert=True,
    ),
    PublishedSet(
        name="stu_hospital",
        title="STU-Hospital",
        size="42 images, patients not named",
        license="not stated",
        citation="Zhuang et al., An RDAU-NET model for lesion segmentation in breast ultrasound images, PLoS ONE 14, "
        "2019, doi 10.1371/journal.pone.0221535",
        url="https://github.com/xbhlk/STU-Hospital",
        flaws="Small, of 128 x 128 pixels and without diagnoses. Most masks have other sizes, and gray values. Groups "
        "hold near-duplicates.",
        recognizes=is_stu_hospital,
        read=read_stu_hospital,
        write=write_stu_hospital_case,
        convert=True,
    ),
    PublishedSet(
        name="cbis_ddsm",
        title="CBIS-DDSM (masses)",
        size="1592 mammograms of 892 patients",
        license="CC BY 3.0",
        citation="Lee et al., A curated mammography data set for use in computer-aided detection and diagnosis "
        "research, Scientific Data 4, 2017, doi 10.1038/sdata.2017.177",
        url="https://www.cancerimagingarchive.net/collection/cbis-ddsm/",
        flaws="Digitized film with labels and borders; tables confuse the paths of masks and crops, and some masks "
        "have another size than their mammogram.",
        recognizes=is_cbis_ddsm,
        read=read_cbis_ddsm,
        write=write_cbis_ddsm_case,
        convert=True,
        write_tables=write_mass_shapes,
    ),
    PublishedSet(
        name="inbreast",
        title="INbreast (masses)",
        size="410 mammograms of 115 cases, 107 with masses",
        license="not known: it was given on request for research",
        citation="Moreira et al., INbreast: toward a full-field digital mammographic database, Academic Radiology 19, "
        "2012, doi 10.1016/j.acra.2011.09.014",
        url="https://doi.org/10.1016/j.acra.2011.09.014 (from the authors)",
        flaws="No pathology in its table: BI-RADS 4 and more count as malignant. The original site is gone.",
        recognizes=is_inbreast,
        read=read_inbreast,
        write=write_inbreast_case,
        convert=True,
    ),
    PublishedSet(
        name="monai_datalist",
        title="MONAI's dataset.json",
        size="any",
        license="your own",
        citation="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022, "
        "doi 10.1038/s41467-022-30695-9",
        url="dataset.json with the items image and label in its section training",
        flaws="PNG and JPEG only; its own sections are not kept, since a protocol splits by group.",
        recognizes=is_monai_datalist,
        read=read_monai_datalist,
    ),
    PublishedSet(
        name="plain_folder",
        title="images with masks",
        size="any",
        license="your own",
        citation="none",
        url="images/X.png with masks/X.png, or X.png with X_mask.png beside it; meta.csv with the columns file and "
        "patient, and where you know them pathology and shape",
        flaws="Without meta.csv patients and diagnoses are not known, and groups hold near-duplicates.",
        recognizes=is_plain_folder,
        read=read_plain_folder,
        write_tables=write_own_shapes,
    ),
)
"""In the order in which layouts are tried: what was labeled comes first, whatever the images are; the plain one, which
others resemble, last."""


def recognize(folder: Path) -> PublishedSet | None:
    """Return the set whose layout ``folder`` has, or ``None``."""
    return next((published for published in PUBLISHED_SETS if published.recognizes(folder)), None)


def find_set(name: str) -> PublishedSet:
    """Return the set called ``name``.

    Raises:
        UserError: there is none; the message names those that there are.
    """
    sets = {published.name: published for published in PUBLISHED_SETS}
    check_choice("data set", name, sets)
    return sets[name]
