"""``bus-monai explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bus_monai.cli.options import Trust, stoppable
from bus_monai.errors import UserError, check_choice
from bus_monai.explain.explanation import EXPLAIN_METHODS, parse_methods

if TYPE_CHECKING:
    from bus_monai.explain.explain_job import MapFormat


@stoppable()
def explain(
    model: Annotated[str, typer.Argument(metavar="BUNDLE[:WEIGHTS]", help="What to explain, one trained segmenter.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="An image (PNG, JPEG, NIfTI, DICOM), a folder, or a data set with a datalist.json or as unpacked.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("explanation"),
    methods: Annotated[
        str | None, typer.Option(help=f"Some of {', '.join(EXPLAIN_METHODS)}; all that the network has by default.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="For Grad-CAM; the block that the decoder ends with by default."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=BUNDLE[:WEIGHTS]",
            help="Another segmenter, any number of them: OUT/grad_cam_grid.png shows all by the first six images.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Passes with Monte-Carlo dropout.")] = 20,
    maps: Annotated[
        str | None, typer.Option(metavar="png|npy", help="Also write each map into OUT/maps, as picture or array.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of a data set: training, validation, test or unlabeled.")] = "test",
    cases: Annotated[int | None, typer.Option(min=1, help="The first so many images; all by default.")] = None,
    trust: Trust = False,
) -> None:
    """Show why a segmenter sees a lesion: OUT/NAME_explain.png, OUT/explain.csv and OUT/report.html.

    Of a data set with known masks the table also says how much of each map lies inside the lesion.
    """
    from bus_monai.bundle.models import parse_models
    from bus_monai.data.datalist import SECTIONS
    from bus_monai.explain.explain_job import GRID_METHOD, IMAGES_FILE, explain_items
    from bus_monai.io.atomic import check_writable

    check_choice("--split", split, SECTIONS)
    if maps is not None:
        check_choice("--maps", maps, ("png", "npy"))
    chosen = parse_methods(methods) if methods else None
    if beside and chosen and GRID_METHOD not in chosen:
        raise UserError(f"--beside shows {GRID_METHOD} of all models: add it to --methods.", key="--methods")
    trained = parse_models([model, *(beside or ())], segmenters=True, trust=trust)
    items = explain_items(source, split=split, settings=trained[0].settings, cases=cases)

    from bus_monai.explain.explain_job import GradCamGrid, explain_images, write_explanation_report
    from bus_monai.explain.explainer import Explainer

    check_writable(out)
    explainer = Explainer.load(trained[0], methods=chosen, layer=layer, samples=samples)
    others = {one.name: Explainer.load(one, methods=[GRID_METHOD]) for one in trained[1:]}
    grid = GradCamGrid(trained[0].name, others) if others else None
    results = explain_images(explainer, items, out, maps=cast("MapFormat | None", maps), grid=grid)
    print(write_explanation_report(out, trained[0].name, results, grid=grid.write(out) if grid else None))
    failed = sum(result.figure is None for result in results)
    if failed:
        print(f"{failed} of {len(results)} images could not be explained, see '{out / IMAGES_FILE}'.")
        raise typer.Exit(1)
