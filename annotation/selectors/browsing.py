"""Lists of a set's completions: filtered, searched, sampled, and walked one by one.

A list is a query that PostgreSQL pages and counts; it never comes here as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias

from django.db.models import BigIntegerField, Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models import TextField as Text
from django.db.models.expressions import Func, RawSQL, Value
from django.db.models.functions import Cast

from annotation.models import Completion, ConversationSet, GoldTruth
from annotation.selectors.conversations import completions_of
from annotation.selectors.truth_sql import TruthSQL, truth_sql
from rbr_app.rbr.policy import Policy

INCOMPLETE = "incomplete"
Pks: TypeAlias = "QuerySet[Completion, int]"

VALUES = {
    "true": Q(truth=True),
    "false": Q(truth=False),
    "disputed": Q(source=GoldTruth.Source.DISPUTED),
}
"""What a filter may ask of a proposition's Gold truth, if the cell has one."""
ABSENT = {"none": Q(truth__isnull=False), "unlabelled": Q()}
"""What it may ask to be missing: any truth, any row."""


@dataclass(frozen=True)
class CompletionFilter:
    """What a listed completion has to be like; an empty field asks for nothing.

    `value` is one of `VALUES` or `ABSENT` and says it of `proposition`. With `sample` the list is
    that many of those that meet the rest, drawn by `sample_seed`: the same draw each time.
    """

    split: str = ""
    response_type: str = ""
    category: str = ""
    completion_class: str = ""
    proposition: str = ""
    value: str = ""
    text: str = ""
    sample: str = ""
    sample_seed: str = ""

    def __bool__(self) -> bool:
        return any(astuple(self))


def filtered_completions(
    conversation_set: ConversationSet, policy: Policy, wanted: CompletionFilter
) -> Pks:
    """The pks of the completions that meet the filter, in file order."""
    found = completions_of(conversation_set, wanted.split or "all").select_related(None)
    if wanted.response_type:
        found = found.filter(conversation__response_type=wanted.response_type)
    if wanted.category:
        found = found.filter(conversation__category=wanted.category)
    if wanted.text:
        found = found.annotate(prompt_text=Cast("conversation__prompt", Text())).filter(
            Q(text__icontains=wanted.text) | Q(prompt_text__icontains=wanted.text)
        )
    if wanted.proposition and wanted.value:
        found = found.filter(_says(wanted.proposition, wanted.value))
    if wanted.completion_class:
        rules = truth_sql(policy, conversation_set.policy_id)
        name = "" if wanted.completion_class == INCOMPLETE else wanted.completion_class
        found = found.filter(pk__in=_of_class(rules, conversation_set, name))
    if wanted.sample:
        found = _sampled(found, int(wanted.sample), int(wanted.sample_seed or 0))
    return found.values_list("pk", flat=True)


def _says(proposition: str, value: str) -> Q:
    cells = GoldTruth.objects.filter(completion=OuterRef("pk"), proposition__key=proposition)
    if value in ABSENT:
        return ~Q(Exists(cells.filter(ABSENT[value])))
    return Q(Exists(cells.filter(VALUES[value])))


def _of_class(rules: TruthSQL, conversation_set: ConversationSet, name: str) -> RawSQL:
    """The completions of a set whose truths imply the class."""
    rows, parameters = rules.rows(conversation_set.pk)
    case, more = rules.completion_class("response_type")
    sql = f"SELECT completion_id FROM ({rows}) AS member WHERE {case} = %s"  # noqa: S608
    # Whatever comes from people is a parameter.
    return RawSQL(sql, [*parameters, *more, name])  # noqa: S611


def _sampled(found: QuerySet[Completion], n: int, seed: int) -> QuerySet[Completion]:
    """`n` of them by the order of a seeded hash of their keys."""
    shuffled = found.alias(
        lot=Func(
            Cast("pk", BigIntegerField()),
            Cast(Value(seed), BigIntegerField()),
            function="hashint8extended",
            output_field=BigIntegerField(),
        )
    ).order_by("lot", "pk")
    return Completion.objects.filter(pk__in=shuffled.values("pk")[:n]).order_by("pk")


@dataclass(frozen=True)
class Place:
    """Where a completion stands in a list that somebody walks; counts from 1."""

    number: int
    total: int
    previous: int | None
    following: int | None


def place_of(pks: Pks, pk: int) -> Place:
    """The completion's place in a filtered list, or the one it would have there. One query.

    A saved answer can take a completion out of its own filter; the walk does not end there.
    """
    before, after = Q(pk__lt=pk), Q(pk__gt=pk)
    found = pks.order_by().aggregate(
        n_before=Count("pk", filter=before),
        n_after=Count("pk", filter=after),
        previous=Max("pk", filter=before),
        following=Min("pk", filter=after),
    )
    return Place(
        number=found["n_before"] + 1,
        total=found["n_before"] + 1 + found["n_after"],
        previous=found["previous"],
        following=found["following"],
    )


def place_in(pks: Sequence[int], pk: int) -> Place | None:
    """The place in a list that another page made; None when the completion is not in it."""
    if pk not in pks:
        return None
    index = pks.index(pk)
    return Place(
        number=index + 1,
        total=len(pks),
        previous=pks[index - 1] if index else None,
        following=pks[index + 1] if index + 1 < len(pks) else None,
    )
