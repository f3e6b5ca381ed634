"""List images, explain them one after the other, each with a figure on disk before the next, and report on all."""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from tqdm import tqdm

from bus_monai.data.items import inference_items, item_names, training_split
from bus_monai.errors import UserError, user_error
from bus_monai.explain.explainer import Explainer
from bus_monai.explain.explanation import EXPLAIN_METHODS, ExplainItem, Explanation, ExplanationMap
from bus_monai.inference.write_outputs import job_tables
from bus_monai.io.ours import PNG_MARK, check_replaced
from bus_monai.report.image_figures import add_legend, draw_contour, image_grid
from bus_monai.report.page import REPORT_FILE, embed, number, write_page
from bus_monai.report.paper import (
    PAGE_INCHES,
    PREDICTION_COLOR,
    TABLES_FOLDER,
    TRUTH_COLOR,
    check_paper_files,
    paper_style,
    save_figure,
    write_paper_table,
)

ENERGIES_TABLE = "energies"
MAPS_FILE = "explain.csv"
"""One row per map."""
IMAGES_FILE = "images.csv"
"""One row per image, also of those that could not be read."""
MAPS_FOLDER = "maps"
GRID_FILE, GRID_METHOD, MAX_GRID_ROWS = "grad_cam_grid.png", "grad_cam", 6
"""Of several models."""
MAX_PICTURES = 12
"""On the page."""
MapFormat: TypeAlias = Literal["png", "npy"]
EXPLANATION_COLUMNS = 3
SALIENCY_OPACITY = 0.55
SALIENCY_COLORS = "inferno"


@dataclass(frozen=True)
class ExplainedMap:
    """A row of ``explain.csv``.

    Args:
        image: its name.
        method: one of :data:`~bus_monai.explain.explanation.EXPLAIN_METHODS`.
        layer: or attention block, or empty.
        energy_inside: share of the map's energy inside the lesion, in [0, 1]; ``None`` without a known lesion.
        chance: the lesion's share of what the network saw, in [0, 1]: the energy inside of a map that knows nothing.
    """

    image: str
    method: str
    layer: str
    energy_inside: float | None
    chance: float | None


@dataclass(frozen=True)
class ExplainedImage:
    """The result of an item.

    Args:
        item: which.
        figure: the picture; ``None`` where the image could not be read.
        maps: rows of the table.
        reason: why it could not.
    """

    item: ExplainItem
    figure: Path | None
    maps: Sequence[ExplainedMap] = ()
    reason: str = ""


def explain_images(
    explainer: Explainer,
    items: Sequence[ExplainItem],
    out: Path,
    *,
    maps: MapFormat | None = None,
    grid: GradCamGrid | None = None,
) -> list[ExplainedImage]:
    """Write ``<name>_explain.png`` of each image, ``explain.csv`` and ``images.csv``.

    An image that cannot be read is a row with a reason; the others are done.

    Args:
        explainer: the segmenter with its methods.
        items: images to explain.
        out: folder of the results, made where missing.
        maps: also write each map to ``maps/<name>_<method>``, with the layer where there are several: ``png`` for
            pictures from 0 (black) to 1 (white), ``npy`` for float32 arrays.
        grid: takes the first images; the explainer needs the method ``grad_cam``.

    Raises:
        UserError: something cannot be written.
    """
    results = []
    check_replaced(_replaced(items, out, maps), option="--out")
    check_paper_files(out, tables=[ENERGIES_TABLE], option="--out")
    columns = {MAPS_FILE: tuple(ExplainedMap.__dataclass_fields__), IMAGES_FILE: ("image", "state", "reason")}
    with job_tables(out, columns, pictures="pictures") as (table, images):
        for item in tqdm(items, desc="explaining", disable=None):
            try:
                explanation = explainer(item)
            except (UserError, RuntimeError) as error:
                # what a transform raises arrives as a RuntimeError of MONAI's
                if (sentence := user_error(error)) is None:
                    raise
                results.append(ExplainedImage(item, None, reason=str(sentence)))
                images.writerow((item.name, "failed", sentence))
                continue
            results.append(_write(item, explanation, out, maps))
            if grid is not None:
                grid.add(item, explanation)
            table.writerows(
                (row.image, row.method, row.layer, _number(row.energy_inside), _number(row.chance))
                for row in results[-1].maps
            )
            images.writerow((item.name, "done", ""))
    return results


def _replaced(items: Sequence[ExplainItem], out: Path, maps: MapFormat | None) -> Iterator[Path]:
    """Yield what will be written beside the tables."""
    yield out / REPORT_FILE
    yield out / GRID_FILE
    for item in items:
        yield out / item.stem.with_name(item.stem.name + "_explain.png")
        # arrays bear no mark: those beside a table of an earlier run are from there
        if maps == "png" or (maps and not (out / IMAGES_FILE).exists()):
            stem = out / MAPS_FOLDER / item.stem
            for method in EXPLAIN_METHODS:
                yield from stem.parent.glob(f"{glob.escape(stem.name)}_{method}*.{maps}")


def _write(item: ExplainItem, explanation: Explanation, out: Path, maps: MapFormat | None) -> ExplainedImage:
    path = out / item.stem.with_name(item.stem.name + "_explain.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(explanation_figure(explanation, item.name), path)
    for one in explanation.maps if maps else ():
        _write_map(one, out / MAPS_FOLDER / item.stem, maps)
    rows = [
        ExplainedMap(item.name, one.method, one.layer, explanation.energy(one), explanation.chance)
        for one in explanation.maps
    ]
    return ExplainedImage(item, path, rows)


def _write_map(one: ExplanationMap, stem: Path, kind: MapFormat | None) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    block = f"_{one.layer}" if one.method == "attention" else ""
    path = stem.with_name(f"{stem.name}_{one.method}{block}.{kind}")
    if kind == "npy":
        np.save(path, one.values)
    else:
        imsave(path, np.atleast_2d(one.values), cmap="gray", vmin=0, vmax=1, metadata=PNG_MARK)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def explain_items(
    source: Path, *, split: str, settings: Mapping[str, Any], cases: int | None = None
) -> list[ExplainItem]:
    """List the images to explain.

    Args:
        source: an image, a folder of images, a data set with a ``datalist.json``, or a published one as unpacked.
        split: section of the data set.
        settings: of the training, see :func:`~bus_monai.data.items.training_split`.
        cases: the first so many; ``None`` for all.

    Raises:
        UserError: there is nothing to explain.
    """
    datalist = training_split(source, settings)
    if datalist is not None:
        section = getattr(datalist, split)
        if not section:
            raise UserError(f"The data set '{source}' has no case in its section '{split}': choose another --split.")
        # an unlabeled image has no mask either, but then its lesions are not known
        items = [
            ExplainItem(case.id, case.image, 0, Path(case.id), None if split == "unlabeled" else case.masks)
            for case in section
        ]
    else:
        listed = inference_items(source, "")
        items = []
        for item, name in zip(listed, item_names(listed, source), strict=True):
            output = Path(item["output"])
            stem = output.with_name(output.name.rpartition("_mask.")[0])
            items.append(ExplainItem(name, Path(item["source"]), item["frame"], stem))
    return items[:cases]


def write_explanation_report(
    out: Path, title: str, results: Sequence[ExplainedImage], *, grid: Path | None = None
) -> Path:
    """Write ``report.html`` into ``out``.

    Args:
        out: the folder.
        title: names the model.
        results: what became of each image.
        grid: picture of several models, see :class:`GradCamGrid`.
    """
    drawn = [result for result in results if result.figure is not None]
    energies = energy_table(results)
    if energies:
        lines = [
            [e["method"], e["layer"], str(e["images"]), number(e["energy"]), number(e["chance"])] for e in energies
        ]
        header = ["Method", "Layer", "Images", "Inside the lesion", "Chance"]
        write_paper_table(out / TABLES_FOLDER, ENERGIES_TABLE, header, lines)
    return write_page(
        out / REPORT_FILE,
        "explanation_report.html.jinja",
        title=f"Explanations: {title}",
        images=len(results),
        failed=[result for result in results if result.figure is None],
        energies=energies,
        grid=embed(grid) if grid else None,
        pictures={result.item.name: embed(result.figure) for result in drawn[:MAX_PICTURES] if result.figure},
        more=max(0, len(drawn) - MAX_PICTURES),
    )


def energy_table(results: Sequence[ExplainedImage]) -> list[dict[str, Any]]:
    """Return the means of energy and chance, one row per method and layer, over the maps that have both."""
    values: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for result in results:
        for row in result.maps:
            if row.energy_inside is not None and row.chance is not None:
                values[row.method, row.layer].append((row.energy_inside, row.chance))
    return [
        {
            "method": method,
            "layer": layer,
            "images": len(pairs),
            "energy": fmean(energy for energy, _ in pairs),
            "chance": fmean(chance for _, chance in pairs),
        }
        for (method, layer), pairs in values.items()
    ]


@paper_style
def explanation_figure(explanation: Explanation, name: str) -> Figure:
    """Draw the image with truth and prediction, then each map over the image.

    A map of pixels has the contours too, a color bar from 0 to its largest value, and the share of its energy inside
    the lesion where that is known; weights of channels are bars.

    Args:
        explanation: of the image.
        name: of the image.
    """
    wide = PAGE_INCHES / EXPLANATION_COLUMNS
    tall = _panel_height(wide, [explanation])
    count = 2 + len(explanation.maps)
    heights = [tall] * -(-count // EXPLANATION_COLUMNS)
    around = 0.5 + 0.3 * len(heights)
    figure, axes = image_grid(count, wide, heights, around=around, columns=EXPLANATION_COLUMNS)
    axes[0].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image")
    axes[1].imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    _contours(axes[1], explanation)
    axes[1].set_title("truth and prediction" if explanation.truth is not None else "prediction")
    for axis, one in zip(axes[2:], explanation.maps, strict=False):
        if one.values.ndim == 1:
            _draw_channels(axis, one)
        else:
            draw_map(axis, one, explanation, title=one.title)
    outlines = {"prediction": PREDICTION_COLOR}
    if explanation.truth is not None:
        outlines = {"truth": TRUTH_COLOR} | outlines
    add_legend(figure, outlines)
    figure.suptitle(name)
    return figure


def _panel_height(wide: float, shown: Sequence[Explanation]) -> float:
    """Return the inches of panels so wide, from the tallest image's form, so that panels touch."""
    tallest: float = max(height / width for height, width in (one.image.shape for one in shown))
    return wide * min(max(tallest, 0.5), 1.4)


def draw_map(axis: Axes, one: ExplanationMap, explanation: Explanation, *, title: str) -> None:
    """Draw a map of pixels over its image, with the contours, a color bar, and the energy inside below the title."""
    axis.imshow(explanation.image, cmap="gray", vmin=0, vmax=1)
    drawn = axis.imshow(
        one.values, cmap=SALIENCY_COLORS, alpha=SALIENCY_OPACITY, vmin=0, vmax=float(one.values.max()) or 1.0
    )
    _contours(axis, explanation)
    # beside the panel and not of its room, so that it is as large as one without
    axis.figure.colorbar(drawn, cax=axis.inset_axes((1.03, 0.1, 0.04, 0.8)))
    energy, chance = explanation.energy(one), explanation.chance
    inside = [] if energy is None else [f"{energy:.0%} inside, chance {chance:.0%}"]
    axis.set_title("\n".join([title, *inside] if title else inside))


def _draw_channels(axis: Axes, one: ExplanationMap) -> None:
    axis.axis("on")
    axis.bar(np.arange(one.values.size), one.values, width=1.0)
    axis.set(ylim=(0, 1), xlabel="channel", ylabel="weight")
    axis.set_title(one.title)


def _contours(axis: Axes, explanation: Explanation) -> None:
    if explanation.truth is not None:
        draw_contour(axis, explanation.truth, 0.5, TRUTH_COLOR)
    draw_contour(axis, explanation.prediction, 0.5, PREDICTION_COLOR)


class GradCamGrid:
    """Grad-CAM of several models for the first six images that all of them can explain.

    Args:
        first: name of the model whose explanations come with the images.
        beside: the others, by their names, each with the method ``grad_cam`` alone.
    """

    def __init__(self, first: str, beside: Mapping[str, Explainer]) -> None:
        self.models = [first, *beside]
        self.beside = beside
        self._rows: dict[str, list[Explanation]] = {}

    def add(self, item: ExplainItem, explanation: Explanation) -> None:
        """Add a row, unless there are six already or another model cannot explain the image."""
        if len(self._rows) == MAX_GRID_ROWS:
            return
        cam = [one for one in explanation.maps if one.method == GRID_METHOD]
        try:
            others = [explainer(item) for explainer in self.beside.values()]
        except (UserError, RuntimeError) as error:
            if user_error(error) is None:
                raise
            return
        self._rows[item.name] = [replace(explanation, maps=cam), *others]

    def write(self, out: Path) -> Path | None:
        """Write ``grad_cam_grid.png`` into ``out``; return ``None`` where no image could be explained.

        Raises:
            UserError: the picture cannot be written.
        """
        if not self._rows:
            return None
        save_figure(grid_figure(self._rows, self.models), out / GRID_FILE)
        return out / GRID_FILE


@paper_style
def grid_figure(rows: Mapping[str, Sequence[Explanation]], models: Sequence[str]) -> Figure:
    """Draw each image with its true outline, then the first map of each model with truth and prediction.

    Args:
        rows: for each image by its name, one explanation per model, each with a map of pixels first.
        models: names of the models, in the same order.
    """
    wide = PAGE_INCHES / (1 + len(models))
    heights = [_panel_height(wide, [row[0] for row in rows.values()])] * len(rows)
    around = 0.5 + 0.4 * len(rows)
    figure, axes = image_grid(len(rows) * (1 + len(models)), wide, heights, around=around, columns=1 + len(models))
    cells = iter(axes)
    for i, (name, row) in enumerate(rows.items()):
        first = next(cells)
        first.imshow(row[0].image, cmap="gray", vmin=0, vmax=1)
        if row[0].truth is not None:
            draw_contour(first, row[0].truth, 0.5, TRUTH_COLOR)
        first.set_title(name)
        for model, explanation in zip(models, row, strict=True):
            draw_map(next(cells), explanation.maps[0], explanation, title=model if i == 0 else "")
    add_legend(figure, {"truth": TRUTH_COLOR, "prediction": PREDICTION_COLOR})
    return figure
