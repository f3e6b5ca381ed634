"""Splits in which no group straddles."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bus_monai.data.case import Case
from bus_monai.errors import UserError


def split_by_group(cases: Sequence[Case], shares: Mapping[str, float], *, seed: int = 0) -> dict[str, list[Case]]:
    """Split cases into sections, whole groups at a time, stratified by diagnosis.

    Deterministic, whatever the order of ``cases``: groups are shuffled by a hash of seed and name, larger ones first,
    and each goes to the section that lacks most of the group's most frequent diagnosis.

    Args:
        cases: to split.
        shares: section to share; only their ratios count.
        seed: of the shuffle.

    Returns:
        Section to cases, in the order of their ids.

    Raises:
        UserError: there are fewer groups than sections.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    if len(groups) < len(shares):
        raise UserError(
            f"{len(groups)} groups cannot be split into {len(shares)} sections: give a data set of more images."
        )
    total = sum(shares.values())
    size: Counter[str] = Counter(case.diagnosis for case in cases)
    wanted = {s: {d: n * share / total for d, n in size.items()} for s, share in shares.items()}
    sections: dict[str, list[Case]] = {section: [] for section in shares}

    def lacking(section: str, diagnosis: str) -> float:
        # relative to its size, so that small sections are served as well as large ones
        return wanted[section][diagnosis] / (size[diagnosis] * shares[section])

    for name in sorted(groups, key=lambda group: (-len(groups[group]), _hash(seed, group))):
        members = groups[name]
        diagnosis = Counter(case.diagnosis for case in sorted(members, key=lambda c: c.id)).most_common(1)[0][0]
        section = max(shares, key=lambda s: (lacking(s, diagnosis), shares[s]))
        sections[section] += members
        for case in members:
            wanted[section][case.diagnosis] -= 1
    return {section: sorted(members, key=lambda case: case.id) for section, members in sections.items()}


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
