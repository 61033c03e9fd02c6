"""Counts and shares as the pages of Gold sets show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def thousands(n: int) -> str:
    """1234567 as ``1,234,567``."""
    return f"{n:,}"


@register.filter
def share_of(part: int, whole: int) -> str:
    """A part in per cent; 0 % and 100 % are said of none and of all, not of nearly so."""
    if not whole:
        return "–"
    rounded = round(100 * part / whole)
    if part and not rounded:
        return "<1 %"
    if part < whole and rounded == 100:
        return ">99 %"
    return f"{rounded} %"


@register.filter
def item(rows: Mapping[Any, Any], key: object) -> Any:
    """The entry of a mapping that a template holds the key of."""
    return rows.get(key)
