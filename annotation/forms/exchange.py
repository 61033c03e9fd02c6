"""What people send to bring policies, conversations and labels in, and to take labels out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_slug
from django.template.defaultfilters import filesizeformat

from annotation.models import ConversationSet, GoldVersion, Policy, PolicyVersion
from annotation.models.conversations import Split
from annotation.selectors.export_files import Format
from annotation.selectors.label_exports import LabelExport, People, What
from annotation.services.conversations import ImportRefused
from annotation.services.label_imports import Tool, read_answers, read_mapping
from rbr_app.rbr.foreign_labels import Reading

LINES = {"rows": 4, "spellcheck": "false", "class": "mono", "autocomplete": "off"}


class UploadField(forms.FileField):
    """A file that is not larger than a page may bring in."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        file = super().clean(data, initial)
        if isinstance(file, UploadedFile) and (file.size or 0) > settings.LARGEST_UPLOAD:
            most = filesizeformat(settings.LARGEST_UPLOAD)
            raise forms.ValidationError(
                f"The file has {filesizeformat(file.size or 0)}, and a page takes {most}. "
                "The command of the same name takes files of any size."
            )
        return file


@contextmanager
def refusals_as_errors() -> Generator[None]:
    """What a service refuses is wrong in the field."""
    try:
        yield
    except ImportRefused as error:
        raise forms.ValidationError(str(error)) from error


class LabelExportForm(forms.Form):
    """Which table of a set to download, and in which form."""

    what = forms.ChoiceField(choices=What.choices, initial=What.LABELS)
    format = forms.ChoiceField(choices=Format.choices, initial=Format.JSONL)
    people = forms.ChoiceField(required=False, choices=People.choices, initial=People.NAMES)
    split = forms.ChoiceField(required=False, choices=[("", "all"), *Split.choices])
    version = forms.ChoiceField(required=False, label="Gold version")

    def __init__(self, *args: Any, conversation_set: ConversationSet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.conversation_set = conversation_set
        self.versions: dict[str, GoldVersion] = {
            str(row.number): row
            for row in conversation_set.gold_versions.select_related("policy_version").order_by(
                "-number"
            )
        }
        version = cast(forms.ChoiceField, self.fields["version"])
        version.choices = [("", "as it is now"), *((key, f"v{key}") for key in self.versions)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        what = data.get("what")
        if what == What.CONVERSATIONS and data.get("format") not in (None, Format.JSONL):
            self.add_error("format", "Conversations are exported as JSONL alone.")
        if what == What.LABELS and data.get("version"):
            self.add_error(
                "version", "A Gold version holds no labels: take its Gold truths or conversations."
            )
        return data

    def as_export(self) -> LabelExport:
        data = self.cleaned_data
        return LabelExport(
            self.conversation_set,
            data["what"],
            people=data["people"] or People.NAMES,
            split=data["split"] or "all",
            version=self.versions.get(data["version"]),
        )


class PolicyUploadForm(forms.Form):
    """A policy file, chosen or pasted."""

    file = UploadField(required=False, label="YAML file")
    text = forms.CharField(
        required=False,
        strip=False,
        label="or its text",
        widget=forms.Textarea(attrs={**LINES, "rows": 14}),
    )
    name = forms.CharField(
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"placeholder": "from the file", "autocomplete": "off"}),
    )
    note = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"placeholder": "what is new", "autocomplete": "off"}),
    )
    wording_only = forms.BooleanField(
        required=False, label="Wording only: labels given so far stay valid"
    )

    def clean(self) -> dict[str, Any]:
        """`source` is the file's text, or the pasted one."""
        data = super().clean() or {}
        file, text = data.get("file"), data.get("text") or ""
        if self.errors:
            return data
        if file:
            try:
                text = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", "The file is not UTF-8 text.")
        if not text.strip() and not self.errors:
            self.add_error("file", "Choose a file, or paste its text.")
        # A browser sends the lines of a text field with a return at their end.
        data["source"] = text.replace("\r\n", "\n")
        return data


class ConversationsUploadForm(forms.Form):
    """A JSONL file of conversations, and the set that it goes to."""

    file = UploadField(label="JSONL file")
    set_name = forms.CharField(
        max_length=100,
        label="Set",
        validators=[validate_slug],
        widget=forms.TextInput(
            attrs={"list": "set-names", "autocomplete": "off", "placeholder": "new or existing"}
        ),
    )
    split = forms.ChoiceField(
        required=False, choices=[("", "as each line says"), *Split.choices], initial=Split.TRAIN
    )
    purpose = forms.ChoiceField(choices=ConversationSet.Purpose.choices)
    policy = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policy = cast(forms.ChoiceField, self.fields["policy"])
        names = Policy.objects.order_by("name").values_list("name", flat=True)
        policy.choices = [("", "the newest that fits"), *((name, name) for name in names)]


class LabelsUploadForm(forms.Form):
    """An export of another tool, and what its names mean here."""

    tool = forms.ChoiceField(choices=Tool.choices, label="Comes from")
    file = UploadField(label="JSON or JSONL file")
    policy_version = forms.ChoiceField(required=False, label="Definitions that were answered")
    keys = forms.CharField(
        required=False,
        label="Questions",
        widget=forms.Textarea(attrs={**LINES, "placeholder": "is_sorry = apology\ncomment ="}),
    )
    answers = forms.CharField(
        required=False,
        label="Answers",
        widget=forms.Textarea(attrs={**LINES, "placeholder": "present = true\nabsent = false"}),
    )
    prompt = forms.CharField(required=False, max_length=200, label="Column of the prompt")
    completion = forms.CharField(required=False, max_length=200, label="Column of the completion")
    id = forms.CharField(required=False, max_length=200, label="Column of the id")
    person = forms.CharField(
        required=False, max_length=150, label="Who answered, where the file does not say"
    )
    digest = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, conversation_set: ConversationSet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions: dict[str, PolicyVersion] = {
            str(row.number): row
            for row in conversation_set.policy.versions.select_related("policy").order_by("-number")
        }
        version = cast(forms.ChoiceField, self.fields["policy_version"])
        version.choices = [(key, str(row)) for key, row in self.versions.items()]

    def clean_keys(self) -> dict[str, str | None]:
        with refusals_as_errors():
            return read_mapping(self.cleaned_data["keys"].splitlines())

    def clean_answers(self) -> dict[str, bool | None]:
        with refusals_as_errors():
            return read_answers(self.cleaned_data["answers"].splitlines())

    @property
    def reading(self) -> Reading:
        names = ("keys", "answers", "prompt", "completion", "id", "person")
        return Reading(**{name: self.cleaned_data[name] for name in names})

    @property
    def version(self) -> PolicyVersion | None:
        return self.versions.get(self.cleaned_data["policy_version"])
