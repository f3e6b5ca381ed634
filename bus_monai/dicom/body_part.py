"""What part of the body an object says that it shows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pydicom.dataset import Dataset

from bus_monai.errors import NotAssessedError
from bus_monai.io.opened import OpenedSource

TEXTS = (
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "TransducerData",
    "TransducerType",
)
"""Attributes that may name the part in words, DICOM PS3.3 C.7.2.1, C.7.3.1, C.8.5.6; the first one that does counts."""
BREAST_CODES = frozenset({
    "76752008", "63762007", "80248007", "73056007",  # SNOMED CT: breast, both, left, right
    "T-04000", "T-04080", "T-04030", "T-04020",  # the same of SNOMED RT
    "91470000", "68171009", "T-D8104", "T-D8100",  # axilla, of which the nodes belong to a scan of the breast
})  # fmt: skip
"""Codes of Anatomic Region Sequence, DICOM PS3.16 CID 4 and 4031."""
ANATOMY_SCHEMES = frozenset({"SCT", "SRT", "SNM3", "99SDM"})
BREAST_STEMS = ("breast", "mamm", "mama", "brust", "borst", "brost", "seno", "senol", "axill", "молочн", "乳")
BREAST_WORDS = frozenset({"sein", "seins", "bryst", "piers", "piersi", "us_mam", "mam"})
OTHER_STEMS = (
    "heart", "cardi", "echocard", "herz", "corazon", "coracao", "coeur", "valve", "ventric",
    "fetal", "fetus", "foetal", "foetus", "obstet", "pregnan", "gynec", "gynaec", "uter", "ovar", "vagin", "pelvi",
    "abdom", "liver", "leber", "hepat", "higado", "figado", "kidney", "renal", "niere", "bladder", "spleen", "pancrea",
    "prostat", "testi", "scrot", "penis",
    "thyr", "tiroid", "tireoid", "schilddr", "carotid", "karotis", "jugular", "aort", "arteri", "vascul",
    "shoulder", "elbow", "wrist", "knee", "ankle", "musculos", "tendon", "spine", "brain", "crani", "neonat", "eye",
    "ophthal", "orbit", "lung", "pleura",
    "phased", "sector_phased", "transesoph", "transvag", "transrect", "endocav", "phantom",
)  # fmt: skip
"""First letters of words, without accents, for what else ultrasound is made of, and for what no breast is seen with."""
OTHER_WORDS = frozenset(
    {"ob", "obgyn", "gyn", "tte", "tee", "toe", "echo", "rein", "rim", "rins", "vein", "veins", "dvt", "hip", "neck"}
)
LOW_FREQUENCY_PROBE = re.compile(r"\b[cpsx][1-6][-_][0-6]\b")
"""Name of a convex or phased array of at most 6 MHz, such as ``C5-1``; a breast is seen with linear arrays of 12 MHz
and more (ACR practice parameter for the performance of a breast ultrasound examination)."""
WORD = re.compile(r"[^\W_]+", re.UNICODE)


def check_body_part(source: OpenedSource) -> None:
    """Check that an object does not say that it shows something else than a breast.

    It is asked in the order of what a person at the scanner enters with most care: codes of the anatomic region, the
    body part, the descriptions of study and series, the protocol, the transducer. Where one of them names the breast
    the object is taken for one, whatever else is said, since presets are often left as they were.

    Raises:
        NotAssessedError: something else is named, and no breast.
    """
    named = list(_named(source.header))
    if named and not any(breast for breast, _, _ in named):
        _, attribute, word = named[0]
        raise NotAssessedError(
            f"'{source.path}' is not assessed: its {attribute} says {word!r}, and nothing in it says breast; give "
            "--any-body-part (any_body_part=True) to segment it all the same.",
            path=source.path,
            key=attribute,
        )


def _named(header: Dataset) -> Iterator[tuple[bool, str, str]]:
    """Yield whether the breast is named, by which attribute, and by which word."""
    for region in _sequence(header, "AnatomicRegionSequence"):
        code, scheme = _text(region, "CodeValue"), _text(region, "CodingSchemeDesignator")
        if code and scheme in ANATOMY_SCHEMES:
            yield code in BREAST_CODES, "AnatomicRegionSequence", code
    for attribute in TEXTS:
        text = plain_letters(_text(header, attribute))
        if attribute == "TransducerData" and (probe := LOW_FREQUENCY_PROBE.search(text)):
            yield False, attribute, probe.group()
        for word in WORD.findall(text):
            if word in BREAST_WORDS or word.startswith(BREAST_STEMS):
                yield True, attribute, word
            elif word in OTHER_WORDS or word.startswith(OTHER_STEMS):
                yield False, attribute, word


def plain_letters(text: str) -> str:
    """Return a text in small letters without accents.

    Example:
        >>> plain_letters("Écho CŒUR")
        'echo coeur'
    """
    letters = unicodedata.normalize("NFKD", text.casefold().replace("œ", "oe"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _sequence(header: Dataset, keyword: str) -> list[Dataset]:
    try:
        return list(header.get(keyword) or ())
    except Exception:  # values are decoded when they are asked for
        return []


def _text(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
        values = [value] if isinstance(value, str) or value is None else list(value)
        return " ".join(str(part) for part in values if part)
    except Exception:  # as above, or no list
        return ""
