"""Numbers as the pages of grading show them, and the small charts beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import template

from grading.selectors.cells import Bin
from rbr_app.rbr.agreement import Estimate
from rbr_app.rbr.metrics import PropositionScores

register = template.Library()

INTERVAL_WIDTH, INTERVAL_HEIGHT, PAD = 132, 18, 5


@register.filter
def score(value: float | None) -> str:
    """Three decimals; a number that is not there is never shown as 0."""
    return "n/a" if value is None else f"{value:.3f}"


@register.filter
def shorter(value: float) -> str:
    """The end of an interval in a narrow column."""
    return f"{value:.2f}"


@register.filter
def share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.0f} %"


@register.filter
def rate(value: float | None) -> str:
    """Cells per second, with as many digits as say something."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


@register.filter
def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@register.filter
def fact(value: object) -> str:
    """A JSON value on one line, text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.inclusion_tag("components/_score.html")
def score_cell(scores: PropositionScores, name: str) -> dict[str, Any]:
    """One number of a report, or n/a with the reason."""
    return {"value": getattr(scores, name), "reason": scores.undefined.get(name, "")}


@register.inclusion_tag("components/_people.html")
def people_cell(people: Estimate) -> dict[str, Any]:
    """How often people agree, with its interval, or n/a with the reason."""
    return {"people": people}


@register.inclusion_tag("components/_interval.html")
def interval(
    scores: PropositionScores, axis_low: float, people: float | None = None
) -> dict[str, Any]:
    """Accuracy with its interval on an axis from `axis_low` to 1.

    A tick marks the baseline, a diamond how often people agree with one another.
    """
    if scores.accuracy is None or scores.accuracy_ci is None or scores.majority_accuracy is None:
        return {"scores": scores, "reason": scores.undefined.get("accuracy", "")}

    def x(value: float) -> float:
        inner = INTERVAL_WIDTH - 2 * PAD
        return round(PAD + inner * (max(value, axis_low) - axis_low) / (1 - axis_low), 1)

    low, high = scores.accuracy_ci
    return {
        "scores": scores,
        "low": low,
        "high": high,
        "x_low": x(low),
        "x_width": round(max(x(high) - x(low), 1), 1),
        "x_dot": x(scores.accuracy),
        "x_baseline": x(scores.majority_accuracy),
        "people": people,
        "x_people": None if people is None else x(people),
        "x_start": PAD,
        "x_end": INTERVAL_WIDTH - PAD,
        "x_middle": INTERVAL_WIDTH / 2,
        "width": INTERVAL_WIDTH,
        "height": INTERVAL_HEIGHT,
        "finding": scores.finding,
    }


@register.inclusion_tag("components/_histogram.html")
def histogram(bins: Sequence[Bin]) -> dict[str, Any]:
    """Positives above the line, negatives below, over p from 0 to 1; heights are square roots."""
    step, half = 18, 56
    top = max([1, *(max(b.positives, b.negatives) for b in bins)]) ** 0.5
    bars = [
        {
            "bin": b,
            "x": index * step,
            "up": round(half * b.positives**0.5 / top, 1),
            "up_y": round(half - half * b.positives**0.5 / top, 1),
            "down": round(half * b.negatives**0.5 / top, 1),
        }
        for index, b in enumerate(bins)
    ]
    return {
        "bars": bars,
        "half": half,
        "width": step * len(bins),
        "height": 2 * half + 1,
        "middle": step * len(bins) / 2,
        "bar_width": step - 2,
    }
