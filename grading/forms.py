"""What people send to start a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms

from annotation.models import ConversationSet
from grading.models import GraderRun, GraderVersion
from grading.selectors.listing import startable_versions

if TYPE_CHECKING:
    SetField = forms.ModelChoiceField[ConversationSet]
    VersionField = forms.ModelChoiceField[GraderVersion]
else:
    # Generic for mypy alone.
    SetField = VersionField = forms.ModelChoiceField


class SetChoice(SetField):
    def label_from_instance(self, obj: ConversationSet) -> str:
        return f"{obj.name} (policy {obj.policy.name})"


class VersionChoice(VersionField):
    def label_from_instance(self, obj: GraderVersion) -> str:
        return str(obj) if obj.engine == obj.grader.name else f"{obj} ({obj.engine})"


class RunForm(forms.Form):
    """A run to start. The propositions on offer are those of the chosen set's policy."""

    conversation_set = SetChoice(
        queryset=ConversationSet.objects.select_related("policy").order_by("name"),
        label="Set",
        empty_label=None,
    )
    grader_version = VersionChoice(
        queryset=GraderVersion.objects.none(), label="Grader", empty_label=None
    )
    split = forms.ChoiceField(choices=GraderRun.Scope.choices, initial=GraderRun.Scope.ALL)
    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2_000_000_000,
        label="Limit",
        widget=forms.NumberInput(attrs={"placeholder": "all rows", "inputmode": "numeric"}),
    )
    propositions = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        versions = cast(VersionChoice, self.fields["grader_version"])
        versions.queryset = startable_versions()
        keys = self._chosen_keys()
        propositions = cast(forms.MultipleChoiceField, self.fields["propositions"])
        propositions.choices = [(key, key) for key in keys]

    def _chosen_keys(self) -> tuple[str, ...]:
        """The propositions of the set that the form stands at."""
        sets = ConversationSet.objects.select_related("policy").order_by("name")
        asked = str(self.data.get("conversation_set") or self.initial.get("conversation_set"))
        given = asked if asked.isdecimal() and len(asked) < 19 else ""
        chosen = sets.filter(pk=int(given)).first() if given else sets.first()
        if chosen is None:
            return ()
        return chosen.policy.latest.as_policy().proposition_keys
