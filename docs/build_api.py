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
# Python keeps no module beside the annotations of a NamedTuple, so that nobody can look their names up
NOT_OURS = re.compile(r"Error parsing type annotation ForwardRef\(")
# it runs in the environment of MONAI Label alone, and its interface is HTTP: docs/label.md
LEFT_OUT = r"!bus_monai\.label\b"


def is_ours(warning: str) -> bool:
    """Tell whether a warning is of something that this repository can mend."""
    return bool(OURS.search(warning)) and not NOT_OURS.match(warning)


def main() -> int:
    """Write the pages, say what pdoc warned of, and return the exit code."""
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("bus_monai", LEFT_OUT, output_directory=Path(__file__).parent / "api")
    found = [str(warning.message) for warning in caught if is_ours(str(warning.message))]
    for warning in found:
        print(warning, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
