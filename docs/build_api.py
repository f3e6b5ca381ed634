"""The API reference, from the docstrings: ``python docs/build_api.py``, which ``make docs`` calls.

It writes docs/api and ends with 1 if pdoc warns of something of ours.
"""

from __future__ import annotations

import pkgutil
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.render

OURS = re.compile(r"\bbus_monai\b")
# Python keeps no module beside the annotations of a NamedTuple, so that nobody can look their names up; nor beside an
# alias that names a class of PyTorch without importing PyTorch
NOT_OURS = re.compile(r"Error parsing type annotation (ForwardRef\(|ArrayOrTensor )")
# it runs in the environment of MONAI Label alone, and its interface is HTTP: docs/label.md
LEFT_OUT = "bus_monai.label"


def is_ours(warning: str) -> bool:
    """Tell whether a warning is of something that this repository can fix."""
    return bool(OURS.search(warning)) and not NOT_OURS.match(warning)


def load_public_names(name: str = "bus_monai") -> None:
    """Load what a package and those below it make public, and list their modules beside it.

    Packages load a public name when it is asked for; pdoc asks for nothing, and takes a package that says what is
    public for one without modules.
    """
    package = import_module(name)
    public = {each: getattr(package, each) for each in package.__all__}
    vars(package).update(public)
    modules = [each for each in pkgutil.iter_modules(package.__path__) if f"{name}.{each.name}" != LEFT_OUT]
    package.__all__ = [*public, *(each.name for each in modules if each.name != "__main__")]
    for each in modules:
        if each.ispkg:
            load_public_names(f"{name}.{each.name}")


def main() -> int:
    """Write the pages, say what pdoc warned of, and return the exit code."""
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_public_names()
        pdoc.pdoc("bus_monai", output_directory=Path(__file__).parent / "api")
    found = [str(warning.message) for warning in caught if is_ours(str(warning.message))]
    for warning in found:
        print(warning, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
