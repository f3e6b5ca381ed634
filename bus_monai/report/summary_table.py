"""Summaries as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summary_text(summaries: Mapping[str, Any]) -> str:
    """Lay out what :func:`bus_monai.metrics.aggregate.summarise_all` returns: each rule in words, a line a metric."""
    lines = []
    for name, rule in summaries.items():
        lines.append(f"\n{name}: {rule['text']}")
        for metric, value in rule["metrics"].items():
            lines.append(f"  {metric:20} {number(value['mean']):>9}  {interval(value):22} {value['n_cases']} cases")
    return "\n".join(lines)


def interval(value: Mapping[str, Any]) -> str:
    """Write the 95 % interval; there is none with a single group."""
    return "" if value["low"] is None else f"[{number(value['low'])}, {number(value['high'])}]"


def number(value: float) -> str:
    """Write a number with four significant decimals, large ones with fewer."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def p_value(value: float) -> str:
    """Write a p value; none is 0."""
    return "< 0.0001" if value < 1e-4 else number(value)
