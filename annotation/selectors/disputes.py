"""The cells on which people's answers differ, lowest agreement first, and the card of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, F, FloatField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast, NullIf

from annotation.models import ConversationSet, GoldTruth, Label
from annotation.models.labels import WITHDRAWN, Answer
from annotation.selectors.agreement import proposition_keys

Source = GoldTruth.Source
UNDECIDED, DECIDED, ALL = "undecided", "decided", "all"
IN_DISPUTE = (Source.DISPUTED, Source.MAJORITY, Source.ADJUDICATED)
"""People differ on each of these cells, or somebody decided it. The first is open."""


@dataclass(frozen=True)
class DisputeFilter:
    """Which cells to list; an empty field asks for nothing. `person` took part in the cell."""

    proposition: str = ""
    response_type: str = ""
    split: str = ""
    person: str = ""
    state: str = UNDECIDED

    @property
    def is_narrow(self) -> bool:
        return any((self.proposition, self.response_type, self.split, self.person))


def disputed_cells(conversation_set: ConversationSet, wanted: DisputeFilter) -> list[int]:
    """The pks of the truths of the listed cells: lowest agreement first, undefined last.

    A person who cannot decide gave no rating, so "true" beside "cannot decide" has no agreement.
    """
    found = _filtered(conversation_set, wanted)
    if wanted.state == UNDECIDED:
        found = found.filter(source=Source.DISPUTED)
    elif wanted.state == DECIDED:
        found = found.exclude(source=Source.DISPUTED)
    ordered = found.annotate(agreement=_agreement()).order_by(
        F("agreement").asc(nulls_last=True), "proposition", "completion"
    )
    return list(ordered.values_list("pk", flat=True))


@dataclass(frozen=True)
class DisputeCounts:
    """Cells under a filter, whatever their state; `majority` are those that a majority decided."""

    disputed: int
    undecided: int
    majority: int

    @property
    def decided(self) -> int:
        return self.disputed - self.undecided


def dispute_counts(conversation_set: ConversationSet, wanted: DisputeFilter) -> DisputeCounts:
    counted = _filtered(conversation_set, wanted).aggregate(
        disputed=Count("pk"),
        undecided=Count("pk", filter=Q(source=Source.DISPUTED)),
        majority=Count("pk", filter=Q(source=Source.MAJORITY)),
    )
    return DisputeCounts(**counted)


def shared_cells(conversation_set: ConversationSet) -> int:
    """Cells that two or more people answered: where a dispute is possible at all."""
    labels = Label.objects.filter(
        completion__conversation__conversation_set=conversation_set, annotator__isnull=False
    ).exclude(answer=WITHDRAWN)
    cells = labels.order_by().values("completion", "proposition").annotate(people=Count("pk"))
    return cells.filter(people__gte=2).count()


def people_of(conversation_set: ConversationSet) -> list[str]:
    """The names of those who labelled the set."""
    labels = Label.objects.filter(
        completion__conversation__conversation_set=conversation_set, annotator__isnull=False
    )
    return sorted(labels.order_by().values_list("annotator__username", flat=True).distinct())


def _filtered(conversation_set: ConversationSet, wanted: DisputeFilter) -> QuerySet[GoldTruth]:
    found = _truths(conversation_set).filter(source__in=IN_DISPUTE)
    if wanted.proposition:
        found = found.filter(proposition__key=wanted.proposition)
    if wanted.response_type:
        found = found.filter(completion__conversation__response_type=wanted.response_type)
    if wanted.split:
        found = found.filter(completion__conversation__split=wanted.split)
    if wanted.person:
        answered = _labels_of_cell().filter(annotator__username=wanted.person)
        found = found.filter(Exists(answered))
    return found


def _truths(conversation_set: ConversationSet) -> QuerySet[GoldTruth]:
    """Truths of the propositions that the set's policy has today."""
    return GoldTruth.objects.filter(
        completion__conversation__conversation_set=conversation_set,
        proposition__policy=conversation_set.policy_id,
        proposition__key__in=proposition_keys(conversation_set),
    )


def _labels_of_cell() -> QuerySet[Label]:
    """People's answers to the cell of an outer query's truth."""
    return Label.objects.filter(
        completion=OuterRef("completion"),
        proposition=OuterRef("proposition"),
        annotator__isnull=False,
    ).exclude(answer=WITHDRAWN)


def _agreement() -> Subquery:
    """The kernel's `unit_agreement` in SQL: the share of agreeing pairs, null below two ratings."""
    true, false = F("n_true"), F("n_false")
    n = true + false
    agreeing = true * (true - 1) + false * (false - 1)
    counted = (
        _labels_of_cell()
        .order_by()
        .values("completion", "proposition")
        .annotate(
            n_true=Count("pk", filter=Q(answer=Answer.TRUE)),
            n_false=Count("pk", filter=Q(answer=Answer.FALSE)),
        )
        .annotate(share=Cast(agreeing, FloatField()) / NullIf(n * (n - 1), 0))
    )
    return Subquery(counted.values("share"), output_field=FloatField())


@dataclass(frozen=True)
class DisputeLine:
    """A listed cell with its votes; `agreement` is null below two ratings."""

    truth: GoldTruth
    n_true: int
    n_false: int
    n_cannot_decide: int

    @property
    def cell(self) -> str:
        """How the query string names it."""
        return f"{self.truth.completion_id}:{self.truth.proposition.key}"

    @property
    def is_decided(self) -> bool:
        return self.truth.source == Source.ADJUDICATED


def dispute_lines(pks: Sequence[int]) -> list[DisputeLine]:
    """Some cells of `disputed_cells`, in the order given."""
    found = GoldTruth.objects.select_related("completion__conversation", "proposition").in_bulk(
        list(pks)
    )
    completions = {truth.completion_id for truth in found.values()}
    votes = (
        Label.objects.filter(completion__in=completions, annotator__isnull=False)
        .order_by()
        .values_list("completion", "proposition", "answer")
        .annotate(n=Count("pk"))
    )
    count = {(completion, key, answer): n for completion, key, answer, n in votes}
    return [
        DisputeLine(
            truth,
            *(
                count.get((truth.completion_id, truth.proposition_id, answer), 0)
                for answer in (Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE)
            ),
        )
        for pk in pks
        if (truth := found.get(pk))
    ]


def following(pks: Sequence[int], before: Sequence[int], pk: int) -> int | None:
    """Of the cells `pks`, the next that stood after `pk` in the list `before`, then from its start.

    So who decides a cell in the middle goes on from there, and comes back to what was passed over.
    """
    left = set(pks)
    at = before.index(pk) if pk in before else -1
    return next(
        (other for other in (*before[at + 1 :], *before[: max(at, 0)]) if other in left), None
    )


def named_truth(conversation_set: ConversationSet, cell: str) -> GoldTruth | None:
    """The truth of the cell that a query string names as ``<completion pk>:<key>``."""
    pk, _, key = cell.partition(":")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    found = _truths(conversation_set).filter(completion=int(pk), proposition__key=key)
    return found.select_related("completion__conversation", "proposition").first()
