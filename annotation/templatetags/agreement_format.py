"""Numbers of agreement with their intervals, as a table shows them."""

from __future__ import annotations

from typing import Any

from django import template

from rbr_app.rbr.agreement import Estimate

register = template.Library()

WIDTH, HEIGHT, PAD = 96, 14, 5


@register.inclusion_tag("components/_estimate.html")
def estimate(found: Estimate, axis_low: float = 0.0, name: str = "") -> dict[str, Any]:
    """A number with its interval on an axis from `axis_low` to 1, or n/a with the reason.

    An axis that begins below 0 has a tick there: what chance alone gives.
    """
    if found.value is None:
        return {"reason": found.reason}

    def x(value: float) -> float:
        return round(
            PAD + (WIDTH - 2 * PAD) * (max(value, axis_low) - axis_low) / (1 - axis_low), 1
        )

    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return {
        "name": name,
        "value": found.value,
        "has_interval": found.low is not None,
        "low": low,
        "high": high,
        "reason": found.reason,
        "x_low": x(low),
        "x_width": round(max(x(high) - x(low), 1), 1),
        "x_dot": x(found.value),
        "x_zero": x(0.0) if axis_low < 0 else None,
        "x_start": PAD,
        "x_end": WIDTH - PAD,
        "width": WIDTH,
        "height": HEIGHT,
        "middle": HEIGHT / 2,
    }


@register.filter
def decimals(value: float | None) -> str:
    """Two decimals, as many as a few hundred answers carry."""
    return "n/a" if value is None else f"{value:.2f}"
