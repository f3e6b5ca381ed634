"""``bus-monai data``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from bus_monai.cli.options import SkipBroken, Trust, load_predictor, stoppable

data = typer.Typer(
    help="Data sets and labels: which there are, preparing them for training, in and out, agreement.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@data.command("list")
def list_sets() -> None:
    """Explain each data set: size, license, citation, source and flaws."""
    import textwrap

    from bus_monai.data.readers.catalog import PUBLISHED_SETS

    for published in PUBLISHED_SETS:
        print(f"{published.name} - {published.title}: {published.size}")
        for label in ("license", "citation", "url", "flaws"):
            text = f"{label:<10}{getattr(published, label)}"
            print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent=" " * 12, break_long_words=False))
        print()


class Modality(str, Enum):
    """Modality of phantoms."""

    ultrasound = "ultrasound"
    mammogram = "mammogram"


@data.command()
@stoppable()
def phantoms(
    modality: Annotated[Modality, typer.Argument(help="What they show.")],
    out: Annotated[Path, typer.Option(help="Folder to make, with images/, masks/ and datalist.json.")],
    count: Annotated[int, typer.Option(min=3, help="Number of images.")] = 96,
    seed: Annotated[int, typer.Option(help="Of the first image; the others follow.")] = 0,
) -> None:
    """Generate images with lesions of known outline, split for training, ready for --dataset_dir OUT."""
    from bus_monai.data.phantoms.mammogram import write_mammo_phantoms
    from bus_monai.data.phantoms.ultrasound import write_phantoms
    from bus_monai.errors import UserError

    if out.exists():
        raise UserError(f"'{out}' exists already: give --out the name of a new folder.")
    write = write_phantoms if modality is Modality.ultrasound else write_mammo_phantoms
    write(out, count=count, seed=seed)
    print(f"{out}: {count} {modality.value} phantoms")


@data.command()
@stoppable()
def prepare(
    name: Annotated[str, typer.Argument(help="The data set, see 'bus-monai data list'.")],
    src: Annotated[Path, typer.Argument(help="Its folder as unpacked; nothing there is changed.")],
    out: Annotated[Path, typer.Option(help="Folder to write images/, masks/ and datalist.json into.")],
    protocol: Annotated[
        str, typer.Option(help="How to split it; the default keeps all images, 624 : 78 : 78.")
    ] = "multi_encoder",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    skip_broken: SkipBroken = False,
) -> None:
    """Copy or convert a data set into OUT, split by patient or duplicate group, ready for --dataset_dir OUT."""
    from bus_monai.data.dataset import prepare_dataset

    datalist = prepare_dataset(name, src, out, protocol=protocol, seed=seed, skip_broken=skip_broken)
    sections = ", ".join(f"{len(cases)} {section}" for section, cases in datalist.sections())
    print(f"{out}: {sections}")


@data.command()
@stoppable()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of images, in any layout.")],
    out: Annotated[Path, typer.Option(help="Where audit.json and audit.html go.")],
) -> None:
    """Find duplicates, masks that do not fit, text, calipers, color and margins among the images of DIR."""
    from bus_monai.data.audit.audit_folder import audit_folder
    from bus_monai.report.audit_report import write_audit

    found = audit_folder(folder)
    page = write_audit(found, out)
    for kind, findings in found.to_dict()["findings"].items():
        if findings:
            print(f"{len(findings):6d}  {kind.replace('_', ' ')}")
    print(f"{len(found.duplicate_groups):6d}  groups of duplicates among {len(found.images)} images\n{page}")


@data.command()
@stoppable()
def export(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="The folder of images that was labeled.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    layout: Annotated[
        str, typer.Option("--format", metavar="busi|coco|nifti|dicom-seg|datalist", help="What to write.")
    ],
) -> None:
    """Write the final labels of a label folder for other programs, and the fields of the cases as OUT/fields.csv.

    busi: folders and names of BUSI, one mask per lesion. coco: images/ and annotations.json. nifti: images/ and
    labels/ of .nii.gz. dicom-seg: a segmentation of each DICOM image with a lesion. datalist: a data set ready for
    --dataset_dir.
    """
    from bus_monai.data.label_exchange import export_labels

    count = export_labels(labels, out, layout)
    print(f"{out}: {count} labels as {layout}")


@data.command("import")
@stoppable()
def import_masks(
    masks: Annotated[Path, typer.Argument(metavar="MASKS", help="Folder of masks, called like the images.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Folder of the images, as for label --studies.")],
) -> None:
    """Offer masks (PNG, JPEG, NIfTI) to be corrected in 'bus-monai label', as LABELS/labels/original."""
    from bus_monai.data import label_exchange

    count, problems = label_exchange.import_masks(masks, labels)
    for problem in problems:
        print(problem)
    print(f"{labels}: masks of {count} images to correct")
    raise typer.Exit(1 if problems else 0)


@data.command()
@stoppable()
def agreement(
    first: Annotated[Path, typer.Argument(metavar="LABELS", help="Label folder of an annotator.")],
    second: Annotated[
        str, typer.Argument(metavar="LABELS|BUNDLE[:WEIGHTS]", help="That of another annotator, or a model.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of report.html and agreement.csv.")] = Path("agreement"),
    trust: Trust = False,
) -> None:
    """Tell how far two annotators agree, or an annotator and a model, on the images that both have read.

    Dice and distances of the outlines, kappa of the fields of the cases, Bland-Altman of the long axes of lesions.
    """
    from bus_monai.report.agreement_report import read_annotator, read_model, report_agreement

    if Path(second).is_dir():
        reader, name = read_annotator(Path(second)), Path(second).resolve().name
    else:
        predictor = load_predictor(second, "auto", tta=False, sensitivity="balanced", trust=trust)
        reader, name = read_model(predictor), second
    names = (first.resolve().name, name) if first.resolve().name != name else (str(first), second)
    print("\n\n".join(map(str, report_agreement(first, reader, names, out))))
