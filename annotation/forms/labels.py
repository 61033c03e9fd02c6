"""What people send from a labelling page."""

from __future__ import annotations

from django import forms

from annotation.models.labels import Answer


class AnswerForm(forms.Form):
    """An answer to one proposition; when it was clicked and the browser's name for that click."""

    answer = forms.ChoiceField(
        choices=Answer.choices,
        error_messages={
            "required": "Choose true, false or cannot decide.",
            "invalid_choice": "The answer has to be true, false or cannot decide.",
        },
    )
    at = forms.DateTimeField(required=False)
    client_id = forms.UUIDField(required=False)


class NoteForm(forms.Form):
    """A note on a completion, a flag, or both; what is not sent stays as it is."""

    text = forms.CharField(
        required=False,
        strip=False,
        max_length=20_000,
        error_messages={"max_length": "A note has at most 20,000 characters."},
    )
    flagged = forms.NullBooleanField(required=False)

    def clean_text(self) -> str | None:
        return self.cleaned_data["text"] if "text" in self.data else None


class ItemForm(forms.Form):
    """What a page says when its item is left: how long it was in use, and what to show next."""

    active_seconds = forms.FloatField(required=False, min_value=0)
    stay = forms.BooleanField(required=False)

    def clean_active_seconds(self) -> float:
        return self.cleaned_data["active_seconds"] or 0.0
