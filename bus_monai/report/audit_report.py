"""Write an audit as JSON and HTML."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from bus_monai.data.audit.audit_folder import Audit
from bus_monai.data.audit.listing import FINDING_MEANINGS
from bus_monai.errors import UserError, writing
from bus_monai.io.atomic import write_json
from bus_monai.io.ours import check_replaced, not_ours
from bus_monai.report.page import write_page
from bus_monai.sources.read import read_source

JSON_FILE = "audit.json"
PAGE_FILE = "audit.html"
THUMBNAIL_HEIGHT_PX = 140


def write_audit(audit: Audit, out: Path) -> Path:
    """Write ``audit.json`` and ``audit.html``, one file without references to others, into ``out``.

    Returns:
        The path of the page.

    Raises:
        UserError: the folder cannot be written to.
    """
    page, table = out / PAGE_FILE, out / JSON_FILE
    check_replaced([page], option="--out")
    if os.path.lexists(table) and not page.exists():  # it bears no mark, and lies beside the page
        raise not_ours(table, "--out")
    content = audit.to_dict()
    thumbnails: dict[Path, str] = {}

    def figure(paths: tuple[Path, ...], detail: str) -> Markup:
        for path in paths:
            thumbnails[path] = thumbnails.get(path) or _thumbnail(path)
        images = Markup(" ").join(Markup('<img alt="" src="{}">').format(thumbnails[p]) for p in paths if thumbnails[p])
        names = ", ".join(audit.name(path) for path in paths)
        return Markup("<figure>{}<figcaption>{}<br>{}</figcaption></figure>").format(images, names, detail)

    pairs = [
        {
            "paths": (audit.images[pair.first].path, audit.images[pair.second].path),
            "detail": "equal" if pair.equal else f"correlation {pair.correlation:.3f}, flip: {pair.flip}",
        }
        for pair in audit.pairs
        if pair.copies
    ]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(table, content)
        return write_page(
            page,
            "audit_report.html.jinja",
            title=f"Audit of {audit.folder.name}",
            images=content["images"],
            groups=len(audit.duplicate_groups),
            pairs=pairs,
            sections=[
                (kind, [finding for finding in audit.findings if finding.kind == kind]) for kind in FINDING_MEANINGS
            ],
            meaning=FINDING_MEANINGS,
            split_groups=content["split_groups"],
            figure=figure,
        )


def _thumbnail(path: Path) -> str:
    """Return a data URL, empty where the file cannot be read."""
    try:
        pixels = read_source(path).pixels
    except UserError:
        return ""
    image = Image.fromarray((pixels * 255).astype(np.uint8))
    image.thumbnail((3 * THUMBNAIL_HEIGHT_PX, THUMBNAIL_HEIGHT_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
