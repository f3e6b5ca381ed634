"""Grad-CAM of several models beside one another: one row per image, one column per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bus_monai.errors import UserError, user_error
from bus_monai.explain.explain_job import GRID_FILE, draw_map
from bus_monai.explain.explainer import Explainer
from bus_monai.explain.explanation import ExplainItem, Explanation
from bus_monai.report.image_figures import add_legend, draw_contour, image_grid
from bus_monai.report.paper import PAGE_INCHES, PREDICTION_COLOR, TRUTH_COLOR, paper_style, save_figure

MAX_ROWS = 6


def write_grid(explainers: Mapping[str, Explainer], items: Sequence[ExplainItem], out: Path) -> Path | None:
    """Write ``grad_cam_grid.png`` of the first images that all models can explain.

    Args:
        explainers: one per model, by its name, each with the method ``grad_cam`` alone.
        items: images to explain, of which six are taken.
        out: folder of the results.

    Returns:
        The picture, or ``None`` where no image could be explained.

    Raises:
        UserError: the picture cannot be written.
    """
    rows: dict[str, list[Explanation]] = {}
    for item in items:
        if len(rows) == MAX_ROWS:
            break
        try:
            rows[item.name] = [explainer(item) for explainer in explainers.values()]
        except (UserError, RuntimeError) as error:
            # a row of images.csv says why
            if user_error(error) is None:
                raise
    if not rows:
        return None
    save_figure(grid_figure(rows, list(explainers)), out / GRID_FILE)
    return out / GRID_FILE


@paper_style
def grid_figure(rows: Mapping[str, Sequence[Explanation]], models: Sequence[str]) -> Figure:
    """Draw each image with its true outline, then the first map of each model with truth and prediction.

    Args:
        rows: for each image by its name, one explanation per model, each with a map of pixels first.
        models: names of the models, in the same order.
    """
    wide = PAGE_INCHES / (1 + len(models))
    tallest = max(height / width for height, width in (row[0].image.shape for row in rows.values()))
    size = (wide, wide * min(max(tallest, 0.5), 1.4) + 0.4)
    figure, axes = image_grid(len(rows) * (1 + len(models)), size, below=0.5, columns=1 + len(models))
    cells = iter(axes)
    for number, (name, row) in enumerate(rows.items()):
        first = next(cells)
        first.imshow(row[0].image, cmap="gray", vmin=0, vmax=1)
        if row[0].truth is not None:
            draw_contour(first, row[0].truth, 0.5, TRUTH_COLOR)
        first.set_title(name)
        for model, explanation in zip(models, row, strict=True):
            draw_map(next(cells), explanation.maps[0], explanation, title=model if number == 0 else "")
    add_legend(figure, {"truth": TRUTH_COLOR, "prediction": PREDICTION_COLOR})
    return figure
