"""The cases that show a lesion."""

from __future__ import annotations

from collections.abc import Sequence

from bus_monai.data.case import Case


def tumours(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that are not normal."""
    return [case for case in cases if case.diagnosis != "normal"]
