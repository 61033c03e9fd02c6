"""Filters of a set's completions, as a query string has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django import forms

from annotation.models.conversations import Split
from annotation.selectors.browsing import CompletionFilter
from rbr_app.rbr.policy import Policy

ANY = ("", "any")


class CompletionFilterForm(forms.Form):
    """Which completions of a set to list. Every field may be left out."""

    split = forms.ChoiceField(required=False, choices=[ANY, *Split.choices])
    response_type = forms.ChoiceField(required=False)
    category = forms.ChoiceField(required=False)
    completion_class = forms.ChoiceField(required=False, label="Class")
    proposition = forms.ChoiceField(required=False)
    value = forms.ChoiceField(
        required=False,
        choices=[
            ANY,
            ("true", "true"),
            ("false", "false"),
            ("none", "undecided"),
            ("unlabelled", "unlabelled"),
            ("disputed", "disputed"),
        ],
    )
    text = forms.CharField(
        required=False,
        max_length=200,
        label="Text",
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "words in the text"}),
    )
    sample = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10**9,
        widget=forms.NumberInput(attrs={"placeholder": "all", "inputmode": "numeric"}),
    )
    sample_seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2**53,
        widget=forms.NumberInput(attrs={"placeholder": "0", "inputmode": "numeric"}),
    )

    def __init__(
        self, *args: Any, policy: Policy, categories: Iterable[str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        classes = [*policy.class_order, "incomplete"]
        self._offer("response_type", policy.response_type_keys)
        self._offer("category", categories)
        self._offer("completion_class", classes)
        self._offer("proposition", policy.proposition_keys)

    def _offer(self, name: str, values: Any) -> None:
        field = cast(forms.ChoiceField, self.fields[name])
        field.choices = [ANY, *((value, value) for value in values)]

    def as_filter(self) -> CompletionFilter:
        """The filter; a field with a value that the set does not know is left out."""
        self.is_valid()
        return CompletionFilter(**self.cleaned_data_or_blank())

    def cleaned_data_or_blank(self) -> dict[str, str]:
        cleaned = {name: self.cleaned_data.get(name) for name in self.fields}
        found = {name: "" if value is None else str(value) for name, value in cleaned.items()}
        return found if found.get("sample") else found | {"sample_seed": ""}
