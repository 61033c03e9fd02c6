"""Writes policy files, in the form of this project and in the released one.

The inverse of `policy_files`: what is written reads back as the same policy. The order is that of
the policy's own lists, whatever order a JSON column gave its maps back in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .policy import (
    Category,
    ContentArea,
    Example,
    Implication,
    Literals,
    Policy,
    PolicyError,
    Proposition,
    ResponseType,
    as_key,
)
from .policy_files import FORMAT, default_title
from .yaml_text import Inline, to_yaml

FORMS = ("ours", "released")
NAMED = 3
"""So many propositions are named in one loss."""


def write_policy(policy: Policy, form: str = "ours") -> str:
    """The policy as YAML in one of `FORMS`.

    Raises `PolicyError` for another form, and with everything of `released_losses` when the
    released form would lose it.
    """
    if form == "ours":
        return to_yaml(_ours(policy))
    if form != "released":
        raise PolicyError(f"a policy file has one of the forms {', '.join(FORMS)}, not {form!r}")
    if losses := released_losses(policy):
        raise PolicyError(f"the released form cannot hold: {'; '.join(losses)}")
    return to_yaml(_released(policy))


def released_losses(policy: Policy) -> list[str]:
    """What the released form cannot hold of a policy; empty when it can be written in it."""
    losses = {
        "the title": policy.title,
        "the summary": policy.summary,
        "content areas": policy.content_areas,
        "categories": policy.categories,
        "implications": policy.implications,
        "exclusions": policy.exclusions,
        f"the order {policy.template.order} of the prompt": (
            policy.template.order != "conversation_first"
        ),
    }
    for name, lost in _PROPOSITION_LOSSES.items():
        keys = [proposition.key for proposition in policy.propositions if lost(proposition)]
        more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
        losses[f"{name} ({', '.join(keys[:NAMED])}{more})"] = keys
    return [*(name for name, lost in losses.items() if lost), *_response_type_losses(policy)]


_PROPOSITION_LOSSES: Mapping[str, Callable[[Proposition], object]] = {
    "guidelines": lambda proposition: proposition.guideline,
    "examples": lambda proposition: proposition.examples,
    "polarities": lambda proposition: proposition.polarity,
}


def _response_type_losses(policy: Policy) -> list[str]:
    found = []
    for row in policy.response_types:
        if row.description:
            found.append(f"the description of response type {row.key}")
        if row.title and row.title != default_title(row.key) and as_key(row.title) != row.key:
            found.append(f"the title of response type {row.key}")
    named = [key for name in policy.class_order for key in _by_type(policy, name)]
    if unused := [key for key in policy.response_type_keys if key not in named]:
        found.append(f"response types that no class names ({', '.join(unused)})")
    elif tuple(dict.fromkeys(named)) != policy.response_type_keys:
        found.append("the order of the response types")
    return found


def _ours(policy: Policy) -> dict[str, Any]:
    document = {
        "format": FORMAT,
        **_texts(name=policy.name, title=policy.title, summary=policy.summary),
        "content_areas": {area.key: _area(policy, area) for area in policy.content_areas},
        "response_types": {row.key: _response_type(row) for row in policy.response_types},
        "prompt": {"order": policy.template.order, "template": policy.template.text},
        "propositions": {row.key: _proposition(policy, row) for row in policy.propositions},
        "derived_propositions": _derived(policy),
        "implications": [
            Inline(
                {"if": _conjunction(policy, rule.given), "then": _conjunction(policy, rule.then)}
            )
            for rule in policy.implications
        ],
        "exclusions": [_exclusion(policy, literals) for literals in policy.exclusions],
        "class_order": [*policy.class_order],
        "completion_classes": {name: _by_type(policy, name) for name in policy.class_order},
    }
    optional = ("content_areas", "derived_propositions", "implications", "exclusions")
    return {key: value for key, value in document.items() if value or key not in optional}


def _released(policy: Policy) -> dict[str, Any]:
    spelled = {row.key: _spelling(row) for row in policy.response_types}
    document = {
        "prompt_template": policy.template.text,
        "completion_class_order": [*policy.class_order],
        "completion_classes": {
            name: {spelled[key]: literals for key, literals in _by_type(policy, name).items()}
            for name in policy.class_order
        },
        "derived_propositions": _derived(policy),
        "simple_propositions": {row.key: {"prompt": row.question} for row in policy.propositions},
    }
    return {key: value for key, value in document.items() if value or key != "derived_propositions"}


def _spelling(row: ResponseType) -> str:
    """How the released form names a response type: by its title, where that is another spelling."""
    spelled = as_key(row.title) == row.key and row.title != default_title(row.key)
    return row.title if spelled else row.key


def _texts(**texts: str) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def _area(policy: Policy, area: ContentArea) -> dict[str, Any]:
    categories = {row.key: _category(row) for row in policy.categories if row.area == area.key}
    texts: dict[str, Any] = _texts(title=area.title, description=area.description)
    return {**texts, **({"categories": categories} if categories else {})}


def _category(row: Category) -> dict[str, str]:
    texts = _texts(title=row.title, description=row.description)
    return {**texts, "response_type": row.response_type}


def _response_type(row: ResponseType) -> dict[str, str]:
    return _texts(title=row.title, description=row.description)


def _proposition(policy: Policy, row: Proposition) -> dict[str, Any]:
    found: dict[str, Any] = _texts(question=row.question, guideline=row.guideline)
    if row.polarity:
        keys = [key for key in policy.response_type_keys if key in row.polarity]
        found["polarity"] = {key: row.polarity[key] for key in keys}
    if row.examples:
        found["examples"] = [_example(example) for example in row.examples]
    return found


def _example(example: Example) -> dict[str, Any]:
    return {"user": example.user, "assistant": example.assistant, "answer": example.answer}


def _derived(policy: Policy) -> dict[str, Literals]:
    return {name: _conjunction(policy, literals) for name, literals in policy.derived.items()}


def _by_type(policy: Policy, completion_class: str) -> dict[str, Literals]:
    rules = policy.completion_classes[completion_class]
    keys = [key for key in policy.response_type_keys if key in rules]
    return {key: _conjunction(policy, rules[key]) for key in keys}


def _conjunction(policy: Policy, literals: Literals) -> dict[str, bool]:
    """Derived propositions first: they say the most."""
    names = (*policy.derived, *policy.proposition_keys)
    return {name: literals[name] for name in names if name in literals}


def _implication(policy: Policy, rule: Implication) -> Inline:
    given, then = (_conjunction(policy, literals) for literals in (rule.given, rule.then))
    return Inline({"if": given, "then": then})


def _exclusion(policy: Policy, literals: Literals) -> Inline:
    ordered = _conjunction(policy, literals)
    return Inline([*ordered] if all(ordered.values()) else ordered)
