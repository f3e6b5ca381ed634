"""One HTML page on how far two annotators agree, or an annotator and a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bus_monai.data.datalist import CaseField, read_fields
from bus_monai.data.readers.own_images import LabeledImage, list_labels
from bus_monai.errors import NotAssessedError, UserError
from bus_monai.geometry.lesion import measure_lesions
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_frames import FindInFrame, segment_frames
from bus_monai.io.atomic import check_writable, write_table
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import open_source
from bus_monai.io.ours import check_run_files
from bus_monai.metrics.aggregate import grouped_mean
from bus_monai.metrics.findings import MIN_IOU, label_overlaps
from bus_monai.metrics.operating_curves import BlandAltman, cohen_kappa
from bus_monai.metrics.segmentation import mask_dice, surface_distances
from bus_monai.report.image_figures import contour_figure
from bus_monai.report.page import REPORT_FILE, interval, number, place, write_page
from bus_monai.report.paper import TABLES_FOLDER, metric_name, write_paper_table
from bus_monai.report.score_figures import agreement_figure
from bus_monai.sources.read import read_all_frames

logger = logging.getLogger("bus_monai")
AGREEMENT_FILE = "agreement.csv"
"""One row per image, and per frame of a cine that shows a lesion to one of both."""
MAX_PICTURES = 6
METRICS = ("dice", "assd_px", "hd95_px", "assd_mm", "hd95_mm")


@dataclass(frozen=True)
class Reading:
    """What an annotator or a model says of an image.

    Args:
        labels: (F, H, W), 0 outside of lesions.
        fields: of the case, by name.
    """

    labels: NDArray[np.integer]
    fields: Mapping[str, str] = field(default_factory=dict)


Reader = Callable[[LabeledImage], "Reading | None"]
"""From an image that the first has labeled to what the second says of it, ``None`` where it says nothing."""


def read_annotator(folder: Path) -> Reader:
    """Return what reads the labels of another annotator, of images by the same names.

    Raises:
        UserError: the folder holds no labels.
    """
    known = {one.name: one for one in list_labels(folder)}
    return lambda one: _reading(known[one.name]) if one.name in known else None


def _reading(one: LabeledImage) -> Reading:
    return Reading(one.read(), one.fields)


def read_model(predictor: Predictor) -> Reader:
    """Return what reads the findings of a model; images that it does not assess are left out with a warning."""
    find = FindInFrame(predictor, 0.5)

    def read(one: LabeledImage) -> Reading | None:
        try:
            with open_source(one.image) as source:
                return Reading(np.stack(list(segment_frames(find, source).labels)))
        except NotAssessedError as error:
            logger.warning("Left out: %s", error)
            return None

    return read


@dataclass(frozen=True)
class AgreementRow:
    """Both readings of an image or of a frame of a cine.

    Args:
        image: its name.
        frame: number of the frame, from 0; ``None`` of what is no cine.
        group: patient.
        dice: ``None`` where both find no lesion.
        assd_px: mean distance of the outlines of both, where both find a lesion.
        hd95_px: 95th percentile of that distance.
        assd_mm: the same in mm, where the spacing is known.
        hd95_mm: the same in mm.
        lesions_first: number of lesions of the first.
        lesions_second: of the second.
        lesions_both: of lesions that overlap with an IoU of at least 0.1.
    """

    image: str
    frame: int | None
    group: str
    dice: float | None
    assd_px: float | None
    hd95_px: float | None
    assd_mm: float | None
    hd95_mm: float | None
    lesions_first: int
    lesions_second: int
    lesions_both: int


@dataclass
class Agreement:
    """Two readings of the same images.

    Args:
        rows: of images and frames.
        axes_px: long axis of each lesion that both find, by the first and by the second.
        axes_mm: the same in mm, as far as known.
        words: group and fields of both of each image, whether it shows a lesion among them.
        worst: Dice, title, pixels and both masks (H, W) of the images that are agreed on least.
        alone: images that the second says nothing of.
    """

    rows: list[AgreementRow] = field(default_factory=list)
    axes_px: list[tuple[float, float]] = field(default_factory=list)
    axes_mm: list[tuple[float, float]] = field(default_factory=list)
    words: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = field(default_factory=list)
    worst: list[tuple[float, str, NDArray[Any], NDArray[Any], NDArray[Any]]] = field(default_factory=list)
    alone: int = 0


LESION = "lesion"
"""The word among the fields that says whether an image shows one."""


def compare_readings(first: Iterable[LabeledImage], second: Reader) -> Agreement:
    """Compare the labels of images with what another annotator or a model says of them.

    Raises:
        UserError: no image has both, or an image or a label cannot be read.
    """
    found = Agreement()
    for one in first:
        other = second(one)
        if other is None:
            found.alone += 1
            continue
        drawn = one.read()
        if other.labels.shape != drawn.shape:
            raise UserError(f"The two labels of '{one.name}' have other sizes: they are of different images.")
        shows = [{LESION: "yes" if labels.any() else "no"} for labels in (drawn, other.labels)]
        found.words.append((one.group, one.fields | shows[0], {**other.fields, **shows[1]}))
        for frame, source in enumerate(read_all_frames(one.image)):
            both = drawn[frame], other.labels[frame]
            if len(drawn) == 1 or any(labels.any() for labels in both):
                _compare_frame(found, one, frame if len(drawn) > 1 else None, source, *both)
    if not found.rows:
        raise UserError("No image is labeled by both: give two label folders of images by the same names.")
    return found


def _compare_frame(
    found: Agreement,
    one: LabeledImage,
    frame: int | None,
    source: SourceImage,
    drawn: NDArray[np.integer],
    other: NDArray[np.integer],
) -> None:
    ours, theirs = _counted(drawn), _counted(other)
    overlaps = label_overlaps(ours, theirs)
    pairs = zip(*linear_sum_assignment(-overlaps), strict=True)
    matched = [(first, second) for first, second in pairs if overlaps[first, second] >= MIN_IOU]
    for axes, spacing in ((found.axes_px, None), (found.axes_mm, source.spacing_mm)):
        if axes is found.axes_px or spacing is not None:
            lengths = [[one.long_axis for one in measure_lesions(x, spacing_mm=spacing)] for x in (ours, theirs)]
            axes += [(lengths[0][first], lengths[1][second]) for first, second in matched]
    first, second = ours > 0, theirs > 0
    dice = mask_dice(first, second) if first.any() or second.any() else None
    row = AgreementRow(
        one.name,
        frame,
        one.group,
        dice,
        *_distances(first, second, (1.0, 1.0)),
        *_distances(first, second, source.spacing_mm),
        int(ours.max()),
        int(theirs.max()),
        len(matched),
    )
    found.rows.append(row)
    if dice is not None:
        title = f"{one.name}{'' if frame is None else f', frame {frame + 1}'}: Dice {dice:.2f}"
        found.worst.append((dice, title, source.pixels, first, second))
        found.worst.sort(key=lambda entry: entry[0])
        del found.worst[MAX_PICTURES:]


def _counted(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return labels (H, W) with the numbers of lesions without gaps."""
    numbers = np.unique(labels[labels > 0])
    return np.where(labels > 0, np.searchsorted(numbers, labels) + 1, 0).astype(np.int32)


def _distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    if spacing is None or not first.any() or not second.any():
        return None, None
    distances = surface_distances(first, second, spacing=spacing)
    return distances.average, distances.hausdorff95


def summarize_agreement(found: Agreement) -> dict[str, dict[str, Any]]:
    """Return the mean of each metric with its 95 % interval over patients, and of how many images it is."""
    summary = {}
    for metric in METRICS:
        known = [(getattr(row, metric), row.group) for row in found.rows if getattr(row, metric) is not None]
        if known:
            mean = grouped_mean([value for value, _ in known], [group for _, group in known])
            summary[metric] = {"mean": mean.value, "low": mean.low, "high": mean.high, "images": len(known)}
    return summary


def field_agreement(found: Agreement, asked: Sequence[CaseField]) -> list[dict[str, Any]]:
    """Return Cohen's kappa of whether an image shows a lesion, and of each field with values that both filled in.

    Args:
        found: both readings.
        asked: fields of the first.
    """
    titles = {LESION: "Lesion"} | {one["name"]: one["title"] for one in asked if one["values"] is not None}
    rows = []
    for name, title in titles.items():
        both = [(group, a[name], b[name]) for group, a, b in found.words if name in a and name in b]
        if both:
            groups, first, second = zip(*both, strict=True)
            kappa = cohen_kappa(first, second, groups)
            same = sum(a == b for a, b in zip(first, second, strict=True)) / len(both)
            rows.append({"title": title, "images": len(both), "same": same, "kappa": kappa and asdict(kappa)})
    return rows


def long_axes(found: Agreement) -> BlandAltman | None:
    """Compare the long axes of the lesions that both find, in mm where all are known, else in pixels (``px``)."""
    known = len(found.axes_mm) == len(found.axes_px)
    pairs, unit = (found.axes_mm, "mm") if known else (found.axes_px, "px")
    return BlandAltman.of([a for a, _ in pairs], [b for _, b in pairs], unit)


def write_agreement(found: Agreement, names: tuple[str, str], asked: Sequence[CaseField], out: Path) -> Path:
    """Write ``report.html``, ``agreement.csv``, and for a paper ``figures`` and ``tables``; return the page's path.

    Args:
        found: both readings.
        names: of both.
        asked: fields of the first.
        out: where all go.

    Raises:
        UserError: the folder cannot be written to, or holds files of something else.
    """
    columns = [column.name for column in fields(AgreementRow)]
    check_writable(out)
    check_run_files(out, tables={AGREEMENT_FILE: columns}, marked=[REPORT_FILE], option="--out")
    write_table(out / AGREEMENT_FILE, columns, map(astuple, found.rows))
    axes, summary, words = long_axes(found), summarize_agreement(found), field_agreement(found, asked)
    _write_tables(out / TABLES_FOLDER, summary, words)
    count = {key: sum(getattr(row, f"lesions_{key}") for row in found.rows) for key in ("first", "second", "both")}
    pictures = (
        contour_figure(
            [pixels for _, _, pixels, _, _ in found.worst],
            [first for *_, first, _ in found.worst],
            [second for *_, second in found.worst],
            [title for _, title, *_ in found.worst],
            names=names,
        )
        if found.worst
        else None
    )
    return write_page(
        out / REPORT_FILE,
        "agreement_report.html.jinja",
        title=f"Agreement: {names[0]}, {names[1]}",
        names=names,
        images=len(found.words),
        alone=found.alone,
        groups=len({row.group for row in found.rows}),
        frames=len(found.rows),
        count=count,
        summary=summary,
        words=words,
        axes=axes,
        lesions=count["both"],
        axes_figure=place(agreement_figure(axes, what="long axis", names=names), out, "long_axes") if axes else None,
        pictures=place(pictures, out, "least_agreed") if pictures else None,
        rows=sorted(found.rows, key=lambda row: (2.0 if row.dice is None else row.dice, row.image, row.frame or 0)),
    )


def _write_tables(folder: Path, summary: Mapping[str, Mapping[str, Any]], words: Sequence[Mapping[str, Any]]) -> None:
    lines = [
        [metric_name(key), f"{number(score['mean'])} {interval(score)}", str(score["images"])]
        for key, score in summary.items()
    ]
    write_paper_table(folder, "outlines", ["Metric", "Mean [95 %]", "Images"], lines)
    lines = [
        [
            row["title"],
            f"{number(row['kappa']['value'])} {interval(row['kappa'])}" if row["kappa"] else "",
            f"{100 * row['same']:.0f} %",
            str(row["images"]),
        ]
        for row in words
    ]
    write_paper_table(folder, "fields", ["Field", "Kappa [95 %]", "Alike", "Images"], lines)


def agreement_text(found: Agreement, asked: Sequence[CaseField]) -> str:
    """Lay out metrics and kappas for a terminal."""
    lines = [f"{len(found.words)} images of both"]
    for metric, value in summarize_agreement(found).items():
        lines.append(f"{metric_name(metric):12} {number(value['mean'])} {interval(value)}, {value['images']} images")
    for row in field_agreement(found, asked):
        kappa = row["kappa"]
        told = f"kappa {number(kappa['value'])} {interval(kappa)}" if kappa else "one word for all"
        lines.append(f"{row['title']}: {told}, {row['same']:.0%} of {row['images']} images alike")
    return "\n".join(lines)


def report_agreement(folder: Path, second: Reader, names: tuple[str, str], out: Path) -> tuple[str, Path]:
    """Compare the labels of a folder with another reading, and write the page; return its sum in words, and its path.

    Args:
        folder: label folder of the first.
        second: reads what the second says.
        names: of both.
        out: where the page goes.

    Raises:
        UserError: as :func:`compare_readings` and :func:`write_agreement`.
    """
    found, asked = compare_readings(list_labels(folder), second), read_fields(folder)
    return agreement_text(found, asked), write_agreement(found, names, asked, out)
