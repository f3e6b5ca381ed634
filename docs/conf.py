"""Sphinx builds the site from docs/, the cards of the bundles and the docstrings: ``make docs``."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

from bus_monai import __version__

project = "bus_monai"
author = copyright = "The bus_monai developers"
version = release = __version__

# the root of the repository is the source, so that links between pages hold there, on the site and in an editor
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "bundles/*/docs/README.md",
    "benchmarks/README.md",
    "docker/README.md",
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
]
exclude_patterns = [".venv", "site", "jupyter_execute"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_default_options = {"members": True, "imported-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
smartquotes = False  # two hyphens begin an option

html_theme = "furo"
html_title = f"bus_monai {__version__}"
html_extra_path = ["site_root"]


def highlight(_: Sphinx, doctree: nodes.document) -> None:
    """Name the language of indented code, which is either Python or what one types in a shell."""
    for block in doctree.findall(nodes.literal_block):
        if "language" not in block and "highlight_args" not in block:
            block["language"] = "python" if re.match(r"(from|import) ", block.astext()) else "shell"


def leave_out_cut_lines(_: Sphinx, page: str, source: list[str]) -> None:
    """Drop Typer's list of subcommands, whose lines end in the middle; the headings list them too."""
    if page == "docs/reference/command":
        source[0] = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", source[0])


def setup(app: Sphinx) -> None:
    """Tell Sphinx of what is ours."""
    app.connect("source-read", leave_out_cut_lines)
    app.connect("doctree-read", highlight)
