"""What an audit finds in a folder, and its images."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bus_monai.data.audit.audit_folder import audit_folder


def found(folder: Path) -> dict[str, list[tuple[list[str], str]]]:
    """Return the findings by kind, without those of which there are none."""
    findings = audit_folder(folder).to_dict()["findings"]
    return {kind: [(f["paths"], f["detail"]) for f in some] for kind, some in findings.items() if some}


def image(folder: Path, name: str) -> Image.Image:
    return Image.open(folder / "benign" / name).convert("L")
