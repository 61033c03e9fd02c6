"""What people send about agreement and disputes: filters, and a decision."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.db.models import QuerySet

from annotation.forms.completions import ANY
from annotation.models import LabellingQueue
from annotation.models.adjudication import Reason
from annotation.models.conversations import Split
from annotation.models.labels import Answer
from annotation.selectors.disputes import ALL, DECIDED, UNDECIDED, DisputeFilter
from rbr_app.rbr.policy import Policy


class AgreementFilterForm(forms.Form):
    """Which of a set's labels to compare. Every field may be left out."""

    split = forms.ChoiceField(required=False, choices=[ANY, *Split.choices])
    response_type = forms.ChoiceField(required=False)
    queue = forms.ModelChoiceField(
        required=False, queryset=LabellingQueue.objects.none(), empty_label="any"
    )

    def __init__(
        self, *args: Any, policy: Policy, queues: QuerySet[LabellingQueue], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        asked = cast("forms.ModelChoiceField[LabellingQueue]", self.fields["queue"])
        asked.queryset = queues
        types = cast(forms.ChoiceField, self.fields["response_type"])
        types.choices = [ANY, *((key, key) for key in policy.response_type_keys)]

    def as_filter(self) -> dict[str, Any]:
        """The arguments of `people_ratings`; a value that the set does not know is left out."""
        self.is_valid()
        known = self.cleaned_data
        return {
            "split": known.get("split") or "all",
            "response_type": known.get("response_type", ""),
            "queue": known.get("queue"),
        }


class DisputeFilterForm(forms.Form):
    """Which disputed cells to list. Every field may be left out."""

    state = forms.ChoiceField(
        required=False,
        choices=[(UNDECIDED, "to decide"), (DECIDED, "decided"), (ALL, "all")],
        label="Show",
    )
    proposition = forms.ChoiceField(required=False)
    response_type = forms.ChoiceField(required=False)
    split = forms.ChoiceField(required=False, choices=[ANY, *Split.choices])
    person = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, policy: Policy, people: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = {
            "proposition": policy.proposition_keys,
            "response_type": policy.response_type_keys,
            "person": people,
        }
        for name, values in offered.items():
            field = cast(forms.ChoiceField, self.fields[name])
            field.choices = [ANY, *((value, value) for value in values)]

    def as_filter(self) -> DisputeFilter:
        """The filter; a field with a value that the set does not know is left out."""
        self.is_valid()
        known = {name: self.cleaned_data.get(name) or "" for name in self.fields}
        return DisputeFilter(**known | {"state": known["state"] or UNDECIDED})


class AdjudicationForm(forms.Form):
    """A decision on a disputed cell. `last_seen` is the decision that stood when it was opened."""

    answer = forms.ChoiceField(
        choices=Answer.choices,
        error_messages={"required": "Choose true, false or cannot decide."},
    )
    reason = forms.ChoiceField(
        choices=Reason.choices, error_messages={"required": "Say why people disagreed."}
    )
    note = forms.CharField(required=False, max_length=5_000)
    flag = forms.BooleanField(required=False)
    flag_text = forms.CharField(required=False, max_length=5_000)
    last_seen = forms.IntegerField(required=False, min_value=0)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("flag") and not given.get("flag_text") and "flag_text" not in self.errors:
            self.add_error("flag_text", "Say what is wrong with the definition.")
        return given

    def as_decision(self) -> dict[str, Any]:
        """The arguments of `adjudicate` that the person chose."""
        given = self.cleaned_data
        return {
            "answer": Answer(given["answer"]),
            "reason": Reason(given["reason"]),
            "note": given["note"],
            "flag_text": given["flag_text"] if given["flag"] else "",
            "last_seen": given["last_seen"],
        }
