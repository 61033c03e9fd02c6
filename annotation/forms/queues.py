"""What people send to open a labelling queue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from django import forms
from django.http import QueryDict

from annotation.forms.completions import ANY, CompletionFilterForm
from annotation.models import Conversation, ConversationSet, LabellingQueue
from annotation.selectors.queue_order import (
    LARGEST_OVERLAP,
    NEEDS_VERDICTS,
    Chosen,
    selected_completions,
)
from annotation.verdicts import VerdictSource, verdicts
from rbr_app.rbr.policy import Policy

WHY = {
    LabellingQueue.Order.SEQUENCE: "One after the other; all people on the same part.",
    LabellingQueue.Order.RANDOM: "Drawn from the seed: what is labelled first stands for all.",
    LabellingQueue.Order.LEAST_LABELLED: "Fewest people’s labels first; a second person only when "
    "everything has a first.",
    LabellingQueue.Order.RARE_CLASS: "Completions of the classes and propositions of which the set "
    "has the fewest. A grader run stands in where there is no Gold truth yet.",
    LabellingQueue.Order.DISAGREEMENT: "Where the run is furthest from the Gold truth: finds wrong "
    "labels and wrong prompts.",
    LabellingQueue.Order.UNCERTAINTY: "Where p is closest to one half: finds what the definition "
    "leaves open.",
    LabellingQueue.Order.LIKELY_TRUE: "Highest p first: finds positives of a rare proposition.",
}


class QueueForm(forms.Form):
    """A labelling queue to open; what it takes of the set is said by a `CompletionFilterForm`.

    What is left out has a default, so that a link that labels something needs to name little.
    """

    defaults = {"order": LabellingQueue.Order.SEQUENCE, "overlap": "1", "seed": "0"}

    name = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"placeholder": "from the filter", "autocomplete": "off"}),
    )
    state = forms.ChoiceField(
        required=False, label="Gold truth", choices=[ANY, ("undecided", "undecided only")]
    )
    order = forms.ChoiceField(choices=LabellingQueue.Order.choices)
    overlap = forms.IntegerField(
        min_value=1,
        max_value=LARGEST_OVERLAP,
        label="People per completion",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    seed = forms.IntegerField(
        min_value=0, max_value=2**53, widget=forms.NumberInput(attrs={"inputmode": "numeric"})
    )
    verdict_source = forms.ChoiceField(required=False, label="Grader run")
    prelabel_source = forms.ChoiceField(required=False, label="Suggested answers")
    propositions = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(
        self, data: QueryDict, *, policy: Policy, sources: list[VerdictSource], **kwargs: Any
    ) -> None:
        given = data.copy()
        for name, value in self.defaults.items():
            given.setdefault(name, value)
        super().__init__(given, **kwargs)
        self.label_suffix = ""
        keys = cast(forms.MultipleChoiceField, self.fields["propositions"])
        keys.choices = [(key, key) for key in policy.proposition_keys]
        for name in ("verdict_source", "prelabel_source"):
            field = cast(forms.ChoiceField, self.fields[name])
            field.choices = [("", "none"), *((source.key, source.title) for source in sources)]

    def clean(self) -> dict[str, Any]:
        """What is undecided about one proposition is a question about that one."""
        known = super().clean() or self.cleaned_data
        asked = self.data.get("proposition")
        choices = dict(cast(forms.ChoiceField, self.fields["propositions"]).choices)  # type: ignore[arg-type]
        if known.get("state") and not known.get("propositions") and asked in choices:
            known["propositions"] = [asked]
        return known


@dataclass(frozen=True)
class OrderChoice:
    """One order on offer. Without a grader run some are not possible."""

    value: str
    label: str
    why: str
    is_chosen: bool
    is_possible: bool


@dataclass(frozen=True)
class QueueDraft:
    """A queue as the form, or a link that labels something, asks for it."""

    conversation_set: ConversationSet
    form: QueueForm
    filter_form: CompletionFilterForm

    @classmethod
    def of(cls, conversation_set: ConversationSet, data: QueryDict) -> QueueDraft:
        policy = conversation_set.policy.latest.as_policy()
        conversations = Conversation.objects.filter(conversation_set=conversation_set)
        categories = conversations.exclude(category="").values_list("category", flat=True)
        return cls(
            conversation_set,
            QueueForm(data, policy=policy, sources=verdicts().sources(conversation_set)),
            CompletionFilterForm(
                data, policy=policy, categories=list(categories.distinct().order_by("category"))
            ),
        )

    def is_valid(self) -> bool:
        return self.form.is_valid() & self.filter_form.is_valid()

    @property
    def selection(self) -> dict[str, str]:
        state = {"state": "undecided"} if self.form.cleaned_data.get("state") else {}
        asked = asdict(self.filter_form.as_filter())
        return {name: value for name, value in asked.items() if value} | state

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of `open_queue`."""
        given = {name: value for name, value in self.form.cleaned_data.items() if name != "state"}
        return {"conversation_set": self.conversation_set, "selection": self.selection, **given}

    @property
    def n_chosen(self) -> int | None:
        if not self.is_valid():
            return None
        keys = self.form.cleaned_data["propositions"] or self.all_keys
        return len(selected_completions(Chosen(self.conversation_set, keys), self.selection))

    @property
    def all_keys(self) -> list[str]:
        return [choice.data["value"] for choice in self.form["propositions"]]

    @property
    def orders(self) -> list[OrderChoice]:
        has_runs = len(cast(forms.ChoiceField, self.form.fields["verdict_source"]).choices) > 1  # type: ignore[arg-type]
        return [
            OrderChoice(
                value=order.value,
                label=order.label,
                why=WHY[order],
                is_chosen=self.form["order"].value() == order.value,
                is_possible=has_runs or order not in NEEDS_VERDICTS,
            )
            for order in LabellingQueue.Order
        ]

    def context(self) -> dict[str, Any]:
        n = self.n_chosen
        overlap = self.form.cleaned_data.get("overlap") if n is not None else None
        return {
            "set": self.conversation_set,
            "form": self.form,
            "filter_form": self.filter_form,
            "n_chosen": n,
            "n_places": n * overlap if n is not None and overlap else None,
            "overlap": overlap,
            "orders": self.orders,
            "n_asked": len(self.form.cleaned_data.get("propositions", ())),
        }
