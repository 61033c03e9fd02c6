"""Numbers and times as the pages of queues and progress show them."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def clock(seconds: float | None) -> str:
    """Minutes and seconds as on a clock: 7:05."""
    if seconds is None:
        return "–"
    whole = max(round(seconds), 0)
    return f"{whole // 60}:{whole % 60:02d}"


@register.filter
def spell(seconds: float | None) -> str:
    """A stretch of time in the unit that says something: 8 s, 3 min, 2 h 10 min."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@register.filter
def pace(seconds: float | None) -> str:
    """Time for one item, to the second."""
    if seconds is None:
        return "–"
    if seconds >= 100:
        return f"{clock(seconds)} min"
    return f"{seconds:.1f} s" if seconds < 10 else f"{round(seconds)} s"


@register.filter
def per_cent(value: float | None) -> str:
    """A number that is not there is never shown as 0."""
    return "n/a" if value is None else f"{100 * value:.0f} %"
