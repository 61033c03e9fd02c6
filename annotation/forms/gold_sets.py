"""What people send about Gold sets: a set to make, its settings, a split to draw, a version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from django import forms
from django.core.validators import RegexValidator
from django.http import QueryDict

from annotation.forms.completions import CompletionFilterForm
from annotation.models import Conversation, ConversationSet, Policy
from annotation.selectors.sampling import Draw, draw_completions

LARGEST_SEED = 2**53
"""The largest integer that a browser keeps exactly."""
WHOLE_NUMBER = {"inputmode": "numeric"}


class GoldSetForm(forms.Form):
    """A set to make of others; what it takes of them is said by a `CompletionFilterForm`."""

    name = forms.CharField(
        max_length=100,
        validators=[
            RegexValidator(
                r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$", "Use lower case, digits, - and _ between them."
            )
        ],
        widget=forms.TextInput(attrs={"placeholder": "safety-gold-2", "autocomplete": "off"}),
        error_messages={"required": "Give the set a name."},
    )
    sources = forms.ModelMultipleChoiceField(
        queryset=ConversationSet.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        label="Take conversations from",
        error_messages={"required": "Choose at least one set."},
    )
    policy = forms.ModelChoiceField(
        queryset=Policy.objects.none(), empty_label=None, label="Read under the policy"
    )
    size = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10**9,
        label="Sample size",
        widget=forms.NumberInput(attrs=WHOLE_NUMBER | {"placeholder": "all"}),
    )
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=LARGEST_SEED,
        widget=forms.NumberInput(attrs=WHOLE_NUMBER | {"placeholder": "0"}),
    )
    note = forms.CharField(required=False, max_length=500)
    with_labels = forms.BooleanField(required=False, label="Copy the labels too")

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, label_suffix="")
        sources = cast("forms.ModelMultipleChoiceField[ConversationSet]", self.fields["sources"])
        sources.queryset = ConversationSet.objects.select_related("policy").order_by("name")
        policy = cast("forms.ModelChoiceField[Policy]", self.fields["policy"])
        policy.queryset = Policy.objects.order_by("name")


class FloorForm(forms.Form):
    """The number of positives and negatives under which a cell of the coverage map is red."""

    coverage_floor = forms.IntegerField(
        min_value=0,
        max_value=32_767,
        label="Floor",
        widget=forms.NumberInput(attrs=WHOLE_NUMBER),
        error_messages={"required": "Give a number, 0 for no floor."},
    )


class SettingsForm(FloorForm):
    """What may be changed of a set."""

    allow_majority = forms.BooleanField(required=False)
    note = forms.CharField(required=False, max_length=500)


class SplitForm(forms.Form):
    """A split to draw."""

    test_share = forms.FloatField(
        min_value=0.01,
        max_value=0.99,
        initial=0.33,
        label="Share for testing",
        widget=forms.NumberInput(attrs={"step": "0.01", "inputmode": "decimal"}),
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=LARGEST_SEED,
        initial=0,
        widget=forms.NumberInput(attrs=WHOLE_NUMBER),
    )


class FreezeForm(forms.Form):
    """A version to freeze."""

    note = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"placeholder": "what it is for", "autocomplete": "off"}),
    )


@dataclass
class GoldSetDraft:
    """A set as the form asks for it, before it is made. There has to be a policy."""

    form: GoldSetForm
    filter_form: CompletionFilterForm

    @classmethod
    def of(cls, data: QueryDict) -> GoldSetDraft:
        """The form with what is given; what is not has a default."""
        given = data.copy()
        if not given:
            given["with_labels"] = "on"
        if "policy" not in given and (pk := _policy_of(given.getlist("sources"))):
            given["policy"] = str(pk)
        form = GoldSetForm(given)
        form.is_valid()
        policy = form.cleaned_data.get("policy") or Policy.objects.order_by("name")[0]
        filter_form = CompletionFilterForm(
            given, policy=policy.latest.as_policy(), categories=_categories(form)
        )
        for name in ("sample", "sample_seed"):
            del filter_form.fields[name]
        return cls(form, filter_form)

    def is_valid(self) -> bool:
        return self.form.is_valid() & self.filter_form.is_valid()

    @property
    def sources(self) -> list[ConversationSet]:
        return list(self.form.cleaned_data.get("sources") or ())

    @cached_property
    def draw(self) -> Draw | None:
        """What would be copied; None until sources are chosen."""
        named = {"size", "seed", "sources", "policy"} & set(self.form.errors)
        if named or not self.sources or not self.filter_form.is_valid():
            return None
        given = self.form.cleaned_data
        return draw_completions(
            self.sources, self.filter_form.as_filter(), given["size"], given["seed"] or 0
        )

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of `create_gold_set`."""
        given = self.form.cleaned_data
        return given | {
            "sources": self.sources,
            "seed": given["seed"] or 0,
            "wanted": self.filter_form.as_filter(),
        }


def _policy_of(sources: list[str]) -> int | None:
    pks = [int(pk) for pk in sources if pk.isdecimal() and len(pk) < 19]
    found = ConversationSet.objects.filter(pk__in=pks).order_by("pk")
    return found.values_list("policy", flat=True).first()


def _categories(form: GoldSetForm) -> list[str]:
    found = Conversation.objects.filter(
        conversation_set__in=form.cleaned_data.get("sources") or ()
    ).exclude(category="")
    return list(found.values_list("category", flat=True).distinct().order_by("category"))
