"""How well people agree on a set: per proposition, and each two of them."""

from __future__ import annotations

from itertools import product
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from annotation.forms.adjudication import AgreementFilterForm
from annotation.models import ConversationSet
from annotation.selectors.agreement import (
    AgreementRow,
    PeopleRatings,
    agreement_rows,
    ordered,
    pairs_of,
    people_ratings,
)
from rbr_app.http import Request, render_list
from rbr_app.rbr.agreement import PairAgreement
from rbr_app.rbr.policy import Policy


@require_safe
def agreement(request: Request, pk: int) -> HttpResponse:
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    policy = found.policy.latest.as_policy()
    form = AgreementFilterForm(request.GET, policy=policy, queues=found.queues.order_by("-pk"))
    wanted = form.as_filter()
    ratings = people_ratings(found, **wanted)
    rows = agreement_rows(ratings, policy.proposition_keys)
    context = {
        "set": found,
        "tab": "agreement",
        "form": form,
        "rows": ordered(rows, request.GET.get("sort", "")),
        "sort": request.GET.get("sort", "") or "alpha",
        "n_left_out": ratings.left_out.total(),
        "n_shared": sum(row.agreement.n_units for row in rows),
        "lows": _axis_starts(rows),
        **_matrix(request, policy, ratings, rows),
    }
    return render_list(request, "annotation/agreement.html", "annotation/_agreement.html", context)


def _matrix(
    request: Request, policy: Policy, ratings: PeopleRatings, rows: list[AgreementRow]
) -> dict[str, Any]:
    """Pairs of people on the proposition `?pair=`, or on all: percent above, κ below."""
    asked = request.GET.get("pair", "")
    key = asked if asked in policy.proposition_keys else ""
    pairs = pairs_of(ratings, rows, key)
    people = sorted(ratings.people)
    lines = [(name, [_pair_cell(pairs, name, other) for other in people]) for name in people]
    return {"pair": key, "people": people, "lines": lines, "keys": policy.proposition_keys}


def _pair_cell(
    pairs: dict[tuple[str, str], PairAgreement], row: str, column: str
) -> dict[str, Any]:
    found = pairs.get((min(row, column), max(row, column)))
    measure = "percent" if row < column else "kappa"
    estimate = getattr(found, measure) if found else None
    return {"self": row == column, "measure": measure, "estimate": estimate, "pair": found}


def _axis_starts(rows: list[AgreementRow]) -> dict[str, float]:
    """Where each measure's axis begins: 0, or lower where chance does better than people."""
    starts = {"percent": 0.0, "prevalence": 0.0}
    for name in ("fleiss", "alpha"):
        estimates = [getattr(row.agreement, name) for row in rows]
        ends = [value for e, end in product(estimates, ("low", "value"))
                if (value := getattr(e, end)) is not None]  # fmt: skip
        starts[name] = max(-1.0, min([0.0, *ends]))
    return starts
