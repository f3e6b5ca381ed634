"""``bus-monai validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus_monai.bundle.registry import DEFAULT_MODEL
from bus_monai.cli.options import Model, Trust, stoppable

if TYPE_CHECKING:
    from bus_monai.data.datalist import Datalist
    from bus_monai.metrics.case_table import CaseRow


@stoppable()
def validate(
    site_data: Annotated[
        Path,
        typer.Argument(metavar="SITE_DATA", help="Images of the site and their outlines: a data set, prepared or raw."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("validation"),
    model: Model = DEFAULT_MODEL,
    trust: Trust = False,
) -> None:
    """Measure a model on images of a site before it is used there: OUT/report.html, a page to sign.

    Audits the images (OUT/audit), evaluates all of them at each operating point (OUT/POINT/SECTION), and sums up how
    many lesions are found and how many normal images are marked.
    """
    from bus_monai.bundle.models import parse_models, weights_hash
    from bus_monai.bundle.registry import bundle_version, require_ultrasound
    from bus_monai.bundle.run import evaluate_model
    from bus_monai.bundle.settings import path_text
    from bus_monai.data.audit.audit_folder import audit_folder
    from bus_monai.data.dataset import load_dataset
    from bus_monai.errors import UserError
    from bus_monai.inference.backends.backend import SENSITIVITIES
    from bus_monai.inference.predictor import has_operating_points
    from bus_monai.metrics.aggregate import CASES_FILE
    from bus_monai.metrics.case_table import read_case_table
    from bus_monai.report.audit_report import write_audit
    from bus_monai.report.evaluation_report import check_evaluation_folders, write_evaluation_report
    from bus_monai.report.paper import check_paper_files
    from bus_monai.report.validation_report import POINTS_TABLE, write_validation_report

    (trained,) = parse_models([model], segmenters=True, trust=trust)
    require_ultrasound(trained.bundle)
    sections = outlined_sections(load_dataset(site_data, protocol=ALL_IMAGES))
    if not sections:
        raise UserError(f"'{site_data}' holds no outlined image: outline some first.", path=site_data)
    points = SENSITIVITIES if has_operating_points(trained) else ("balanced",)
    folders = {(point, part): out / point / part for point in points for part in sections}
    check_evaluation_folders(out, [out / point for point in points], folders.values(), names=[trained.name])
    check_paper_files(out, tables=[POINTS_TABLE], option="--out")
    audit = audit_folder(site_data)
    write_audit(audit, out / "audit")
    tables: dict[str, list[CaseRow]] = {point: [] for point in points}
    for (point, part), folder in folders.items():
        chosen = {"dataset_dir": path_text(site_data), "protocol": ALL_IMAGES, "split": part}
        chosen |= {"sensitivity": point} if len(points) > 1 else {}
        evaluate_model(trained, folder, chosen)
        write_evaluation_report(folder)
        tables[point] += read_case_table(folder / CASES_FILE)
    words = {
        "Model": f"{trained.bundle.name} {bundle_version(trained.bundle)}",
        "Weights (SHA-256)": weights_hash(trained),
        "Images": str(site_data),
    }
    print(write_validation_report(tables, audit, words, out))


ALL_IMAGES = "all_train"
"""The protocol that leaves none out: nothing is trained here, so that all images are test images."""


def outlined_sections(datalist: Datalist) -> list[str]:
    """Return the sections that together hold each outlined image once.

    Of a data set without sections the protocol trains on all images, and validates on some of the same.
    """
    known: set[str] = set()
    names = []
    for name, cases in datalist.sections():
        if name != "unlabeled" and not known >= {case.id for case in cases}:
            names.append(name)
            known |= {case.id for case in cases}
    return names
