"""The API reference, from the docstrings: ``python docs/build_api.py``, which ``make docs`` calls.

It writes docs/api and ends with 1 if pdoc warns of something of ours.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

OURS = re.compile(r"\bbus_monai\b")
NOT_OURS = re.compile(
    # Python keeps no module beside the annotations of a NamedTuple, so that nobody can look their names up
    r"Error parsing type annotation ForwardRef\(.*"
    # MONAI Label has an environment of its own, where alone these modules run
    r"|Couldn't import bus_monai\.label\..*No module named 'monailabel[^']*'\s*",
    re.DOTALL,
)


def is_ours(warning: str) -> bool:
    """Tell whether a warning is of something that this repository can mend."""
    return bool(OURS.search(warning)) and not NOT_OURS.fullmatch(warning)


def main() -> int:
    """Write the pages, say what pdoc warned of, and return the exit code."""
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("bus_monai", output_directory=Path(__file__).parent / "api")
    found = [str(warning.message) for warning in caught if is_ours(str(warning.message))]
    for warning in found:
        print(warning, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
