"""What people send on the policy pages: truths, the parts of a draft, a version to be saved."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django import forms
from django.http import QueryDict

from annotation.draft_items import Document, Item, keys_of
from annotation.literal_grids import LiteralGrid, toggle_value
from annotation.services.policies import MeaningChoice
from rbr_app.rbr.policy import KEY_PATTERN, POLARITIES
from rbr_app.rbr.policy_shape import ORDERS

# Parts of a draft


class KeyField(forms.RegexField):
    """The key of a part. Files may hold others for areas, categories and classes: those stay."""

    def __init__(self, kept: str = "") -> None:
        super().__init__(
            regex=rf"\A(?:{KEY_PATTERN.pattern})\Z",
            max_length=100,
            label="Key",
            error_messages={
                "required": "Give it a key.",
                "invalid": "A key is lower snake case: letters, digits and underscores.",
            },
            widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        )
        self.kept = kept

    def clean(self, value: Any) -> Any:
        return value if self.kept and value == self.kept else super().clean(value)


def _line(label: str, **kwargs: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=500, **kwargs)


def _text(label: str, *, rows: int = 3, required: bool = False, **kwargs: Any) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows, "dir": "auto"})
    return forms.CharField(label=label, required=required, widget=widget, **kwargs)


class ItemForm(forms.Form):
    """Values of one part. A form says what it reads and writes by its fields alone."""

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        document: Document,
        item: Item,
        values: Mapping[str, Any],
    ) -> None:
        self.document, self.item, self.values = document, item, values
        super().__init__(data, initial=dict(values), auto_id="part-%s")
        if item.key and "key" in self.fields:
            cast(KeyField, self.fields["key"]).kept = item.key

    def as_values(self) -> dict[str, Any]:
        """What `draft_items.write_item` takes."""
        return dict(self.cleaned_data)


class OverviewForm(ItemForm):
    title = _line("Title")
    summary = _text("Summary")


class PromptForm(ItemForm):
    text = _text("Template", rows=14, required=True, strip=False)
    order = forms.ChoiceField(
        label="Order", choices=[(order, order.replace("_", " ")) for order in ORDERS]
    )

    def clean_text(self) -> str:
        return _lines(self.cleaned_data["text"])


class TitledForm(ItemForm):
    key = KeyField()
    title = _line("Title")
    description = _text("Description")


class CategoryForm(TitledForm):
    area = forms.ChoiceField(label="Content area", required=False)
    response_type = forms.ChoiceField(label="Answered by")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, section in (("area", "content_areas"), ("response_type", "response_types")):
            field = cast(forms.ChoiceField, self.fields[name])
            field.choices = [(key, key) for key in keys_of(self.document, section)]


class ExampleForm(forms.Form):
    """One few-shot example; a row without any text is none."""

    user = _text("User", rows=2, strip=False)
    assistant = _text("Assistant", rows=2, strip=False)
    answer = forms.ChoiceField(
        label="Answer", required=False, choices=[("true", "true"), ("false", "false")]
    )

    @property
    def says_something(self) -> bool:
        return any(self.cleaned_data.get(name, "").strip() for name in ("user", "assistant"))

    def as_example(self) -> dict[str, Any]:
        texts = {
            name: str(self.cleaned_data[name]).replace("\r\n", "\n")
            for name in ("user", "assistant")
        }
        return {**texts, "answer": self.cleaned_data["answer"] == "true"}


ExampleFormSet = forms.formset_factory(ExampleForm, extra=1, can_delete=True)


class PropositionForm(ItemForm):
    key = KeyField()
    question = _text(
        "Question to the grader",
        rows=4,
        required=True,
        error_messages={"required": "A proposition needs its question."},
    )
    guideline = _text("Guideline for people", rows=3)

    def __init__(self, data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        stated = self.values.get("polarity", {})
        for kind in keys_of(self.document, "response_types"):
            self.fields[f"polarity:{kind}"] = forms.ChoiceField(
                label=kind.replace("_", " "),
                required=False,
                choices=[("", "as the rules say"), *((name, name) for name in POLARITIES)],
                initial=stated.get(kind, ""),
            )
        # What is sent counts as it is: next to stored examples a form that equals one of them
        # would be taken for one that nobody filled in.
        stored = self.values.get("examples", ()) if data is None else ()
        initial = [{**row, "answer": toggle_value(row["answer"])} for row in stored]
        self.examples = ExampleFormSet(data, initial=initial, prefix="examples")

    @property
    def polarities(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("polarity:")]

    def is_valid(self) -> bool:
        return super().is_valid() and self.examples.is_valid()

    def as_values(self) -> dict[str, Any]:
        polarity = {
            name.partition(":")[2]: value
            for name, value in self.cleaned_data.items()
            if name.startswith("polarity:") and value
        }
        kept = [form for form in self.examples.forms if form not in self.examples.deleted_forms]
        return {
            "key": self.cleaned_data["key"],
            "question": _lines(self.cleaned_data["question"]),
            "guideline": _lines(self.cleaned_data["guideline"]),
            "polarity": polarity,
            "examples": [form.as_example() for form in kept if form.says_something],
        }


def _lines(text: str) -> str:
    """The text as it was typed: a browser ends lines with CRLF."""
    return text.replace("\r\n", "\n")


class LiteralsForm(ItemForm):
    """A part whose values are conjunctions."""

    def __init__(self, data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        conjunctions = self.conjunctions()
        self.grid = (
            LiteralGrid.of(self.document, conjunctions, self.barred())
            if data is None
            else LiteralGrid.posted(self.document, conjunctions, data, self.barred())
        )

    @abstractmethod
    def conjunctions(self) -> dict[str, Mapping[str, bool]]:
        """Column -> literals, as they are stored."""

    def barred(self) -> Sequence[str]:
        return ()

    def need(self, *columns: str) -> None:
        """An error unless each of these columns has a literal."""
        if not all(self.grid.literals(column) for column in columns):
            self.add_error(
                None,
                "Choose at least one proposition" + (" on each side." if len(columns) > 1 else "."),
            )


class DerivedForm(LiteralsForm):
    key = KeyField()

    def conjunctions(self) -> dict[str, Mapping[str, bool]]:
        return {"all_of": self.values.get("all_of", {})}

    def barred(self) -> Sequence[str]:
        return (self.item.key,)

    def clean(self) -> None:
        self.need("all_of")

    def as_values(self) -> dict[str, Any]:
        return {"key": self.cleaned_data["key"], "all_of": self.grid.literals("all_of")}


class CompletionClassForm(LiteralsForm):
    key = KeyField()

    def conjunctions(self) -> dict[str, Mapping[str, bool]]:
        rules = self.values.get("rules", {})
        return {kind: rules.get(kind, {}) for kind in keys_of(self.document, "response_types")}

    def as_values(self) -> dict[str, Any]:
        rules = {column: self.grid.literals(column) for column in self.grid.columns}
        return {
            "key": self.cleaned_data["key"],
            "rules": {kind: literals for kind, literals in rules.items() if literals},
        }


class ImplicationForm(LiteralsForm):
    def conjunctions(self) -> dict[str, Mapping[str, bool]]:
        return {side: self.values.get(side, {}) for side in ("given", "then")}

    def clean(self) -> None:
        self.need("given", "then")

    def as_values(self) -> dict[str, Any]:
        return {side: self.grid.literals(side) for side in ("given", "then")}


class ExclusionForm(LiteralsForm):
    def conjunctions(self) -> dict[str, Mapping[str, bool]]:
        return {"never": self.values.get("literals", {})}

    def clean(self) -> None:
        self.need("never")

    def as_values(self) -> dict[str, Any]:
        return {"literals": self.grid.literals("never")}


FORMS: dict[str, type[ItemForm]] = {
    "overview": OverviewForm,
    "prompt": PromptForm,
    "content_areas": TitledForm,
    "categories": CategoryForm,
    "response_types": TitledForm,
    "propositions": PropositionForm,
    "derived_propositions": DerivedForm,
    "completion_classes": CompletionClassForm,
    "implications": ImplicationForm,
    "exclusions": ExclusionForm,
}


class SourceForm(forms.Form):
    """A whole draft as a policy file."""

    text = forms.CharField(
        label="Policy file",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 30, "spellcheck": "false", "wrap": "off"}),
        error_messages={"required": "The file is empty."},
    )


class SaveForm(forms.Form):
    """A version to be saved: a note, and which of the changed propositions mean something else."""

    seen = forms.CharField(widget=forms.HiddenInput)
    note = forms.CharField(
        required=False,
        max_length=500,
        label="Note",
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "What changed, and why"}),
    )

    def __init__(
        self, data: QueryDict | None, *, choices: Sequence[MeaningChoice], **kwargs: Any
    ) -> None:
        super().__init__(data, auto_id="save-%s", **kwargs)
        self.choices = choices
        for choice in choices:
            self.fields[f"meaning:{choice.key}"] = forms.ChoiceField(
                label=choice.key,
                choices=[("wording", "wording only"), ("meaning", "meaning changed")],
                initial="meaning" if choice.default else "wording",
                widget=forms.RadioSelect,
            )

    @property
    def meaning_fields(self) -> list[forms.BoundField]:
        return [self[f"meaning:{choice.key}"] for choice in self.choices]

    @property
    def meaning(self) -> list[str]:
        """The propositions whose meaning the author says has changed."""
        keys = [choice.key for choice in self.choices]
        return [key for key in keys if self.cleaned_data[f"meaning:{key}"] == "meaning"]

    def refuse(self, reason: str, *, seen: str) -> None:
        """Say why nothing was saved, and let the form be sent again for what is shown now."""
        self.add_error(None, reason)
        self.data = {**{name: self.data[name] for name in self.data}, "seen": seen}
