"""What is wanted of a completion: propositions, response types, completion classes.

Source: Mu et al. 2024, section 4.1. A `Policy` is a value: immutable, comparable, and the same
whether it was read from a file or from the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

Literals = Mapping[str, bool]
"""A conjunction: the truth value that each named (derived) proposition must have."""

KEY_PATTERN = re.compile(r"[a-z][a-z0-9_]*")

POLARITIES = ("desired", "undesired", "neutral")


class PolicyError(ValueError):
    """A policy that cannot be used. The message says what is wrong and where."""


def as_key(name: str) -> str:
    """Lower snake case: ``"Safe Refuse 1"`` becomes ``"safe_refuse_1"``."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")


@dataclass(frozen=True)
class Example:
    """One few-shot example of a proposition: a user turn, a completion, the right answer."""

    user: str
    assistant: str
    answer: bool


@dataclass(frozen=True)
class Proposition:
    """A binary statement about a completion, given its prompt.

    Question and guideline never begin or end with white space, so that no policy depends on how a
    file or a form ends its texts. `polarity` maps a response type to one of `POLARITIES`: whether
    its best completion wants the statement to be true. What it leaves out follows from the rules.
    """

    key: str
    question: str
    guideline: str = ""
    examples: tuple[Example, ...] = ()
    polarity: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "question", self.question.strip())
        object.__setattr__(self, "guideline", self.guideline.strip())


@dataclass(frozen=True)
class Implication:
    """Wherever `given` holds, `then` holds too: a fact about meanings, whatever the completion."""

    given: Literals
    then: Literals


@dataclass(frozen=True)
class PromptTemplate:
    """The text that grader prompts share.

    Placeholders: ``{question}`` and ``{response}`` always, ``{examples}`` and ``{conversation}``
    where the text wants them.
    """

    text: str
    order: str = "conversation_first"


@dataclass(frozen=True)
class Category:
    """A kind of request, and the response type that the behavior policy maps it to."""

    key: str
    response_type: str
    area: str = ""
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class ResponseType:
    """How a response to a category must look."""

    key: str
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class ContentArea:
    """A part of the content policy: what it covers and what is unsafe in it."""

    key: str
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class Policy:
    """A content policy, a behavior policy and the rules that turn truth into classes.

    ``derived`` maps a name to a conjunction over propositions and earlier derived ones.
    ``completion_classes`` maps class -> response type -> conjunction. ``class_order`` ranks the
    classes, best first. `implications` and `exclusions` say which truths can stand together at all;
    an exclusion is a conjunction that never holds. They decide no class.
    """

    propositions: tuple[Proposition, ...]
    derived: Mapping[str, Literals]
    completion_classes: Mapping[str, Mapping[str, Literals]]
    class_order: tuple[str, ...]
    template: PromptTemplate
    response_types: tuple[ResponseType, ...] = ()
    content_areas: tuple[ContentArea, ...] = ()
    categories: tuple[Category, ...] = ()
    title: str = ""
    summary: str = ""
    implications: tuple[Implication, ...] = ()
    exclusions: tuple[Literals, ...] = ()
    name: str = field(default="", compare=False)

    @cached_property
    def proposition_keys(self) -> tuple[str, ...]:
        return tuple(proposition.key for proposition in self.propositions)

    @cached_property
    def response_type_keys(self) -> tuple[str, ...]:
        return tuple(response_type.key for response_type in self.response_types)

    def proposition(self, key: str) -> Proposition:
        """The proposition called `key`; `KeyError` when the policy has none."""
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[str, Proposition]:
        return {proposition.key: proposition for proposition in self.propositions}

    def classes_of(self, response_type: str) -> dict[str, Literals]:
        """The classes that are defined for `response_type`, best first."""
        return {
            name: self.completion_classes[name][response_type]
            for name in self.class_order
            if response_type in self.completion_classes[name]
        }

    def as_document(self) -> dict[str, Any]:
        """The policy as JSON values, the form that is stored and fingerprinted.

        What is optional is left out when it is empty: a policy that does not use it keeps the
        fingerprint under which it is stored.
        """
        document = asdict(self)
        del document["name"]
        for row in document["propositions"]:
            if not row["polarity"]:
                del row["polarity"]
        for key in ("implications", "exclusions"):
            if not document[key]:
                del document[key]
        # A list, because a JSON column keeps no key order and later entries may use earlier ones.
        document["derived"] = [
            {"key": key, "all_of": dict(literals)} for key, literals in self.derived.items()
        ]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any], name: str = "") -> Policy:
        """The inverse of `as_document`, for a document that this class wrote.

        `policy_check.parse_document` reads one that somebody else may have changed.
        """
        return cls(
            propositions=tuple(
                Proposition(**{**row, "examples": tuple(Example(**e) for e in row["examples"])})
                for row in document["propositions"]
            ),
            derived={row["key"]: row["all_of"] for row in document["derived"]},
            completion_classes=document["completion_classes"],
            class_order=tuple(document["class_order"]),
            template=PromptTemplate(**document["template"]),
            response_types=tuple(ResponseType(**row) for row in document["response_types"]),
            content_areas=tuple(ContentArea(**row) for row in document["content_areas"]),
            categories=tuple(Category(**row) for row in document["categories"]),
            title=document["title"],
            summary=document["summary"],
            implications=tuple(Implication(**row) for row in document.get("implications", ())),
            exclusions=tuple(document.get("exclusions", ())),
            name=name,
        )
