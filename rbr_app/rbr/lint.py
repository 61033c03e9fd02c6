"""Proves that a policy's classes are exclusive and exhaustive, or finds a counter-example.

And tells what else in a policy is likely to be a mistake. Errors make a policy unusable; warnings
are for a person to judge. What rules and constraints allow is decided exactly (`sat`), the wording
of questions is guessed (`wording`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from .constraints import formula
from .demands import derived_polarity
from .policy import Policy
from .rules import leaves, leaves_of
from .sat import solve
from .wording import compound

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Witness:
    """A truth assignment for which `classes` hold at once; a gap when `classes` is empty.

    `truth` names the propositions that the classes of the response type depend on.
    """

    response_type: str
    classes: tuple[str, ...]
    truth: dict[str, bool]

    def __str__(self) -> str:
        true = [key for key, value in self.truth.items() if value]
        what = f"{' and '.join(self.classes)} both hold" if self.classes else "no class holds"
        return (
            f"response type {self.response_type}: {what} when "
            f"{', '.join(true) or 'nothing'} {'are' if len(true) > 1 else 'is'} true "
            "and all else is false"
        )


@dataclass(frozen=True)
class Finding:
    """Something wrong, or likely to be wrong, with a policy.

    `severity` is ``error`` or ``warning``; `where` is a place in the policy such as
    ``propositions.apology``; `witness` is an assignment that shows it, where there is one.
    """

    code: str
    severity: str
    message: str
    where: str
    witness: dict[str, bool] | None = None
    response_type: str = ""
    classes: tuple[str, ...] = ()


def overlaps(policy: Policy) -> list[Witness]:
    """One witness for each pair of classes that can hold together, per response type."""
    found = []
    for response_type in policy.response_type_keys:
        classes = policy.classes_of(response_type)
        for pair in combinations(classes, 2):
            if (truth := solve(policy, all_of=[classes[name] for name in pair])) is not None:
                found.append(_witness(policy, response_type, pair, truth))
    return found


def gaps(policy: Policy) -> list[Witness]:
    """One witness for each response type in which some assignment meets no class."""
    found = []
    for response_type in policy.response_type_keys:
        classes = policy.classes_of(response_type).values()
        if (truth := solve(policy, none_of=classes)) is not None:
            found.append(_witness(policy, response_type, (), truth))
    return found


def lint(policy: Policy) -> list[Finding]:
    """Everything found in a policy that `check_policy` accepts: errors first, then warnings."""
    return [*errors(policy), *_warnings(policy)]


def errors(policy: Policy) -> list[Finding]:
    """What makes a policy unusable: overlaps, gaps, and constraints that nothing can keep."""
    found = [
        Finding(
            "overlap" if witness.classes else "gap",
            ERROR,
            str(witness),
            f"response_types.{witness.response_type}",
            witness.truth,
            witness.response_type,
            witness.classes,
        )
        for witness in (*overlaps(policy), *gaps(policy))
    ]
    if not _consistent(policy):
        stated = "; ".join([*map(formula, policy.implications), *map(formula, policy.exclusions)])
        message = f"no completion can keep all the constraints at once: {stated}"
        where = "implications" if policy.implications else "exclusions"
        found.append(Finding("contradictory_constraints", ERROR, message, where))
    return found


def _witness(
    policy: Policy, response_type: str, classes: tuple[str, ...], truth: dict[str, bool]
) -> Witness:
    deciding = leaves(policy, response_type)
    return Witness(response_type, classes, {key: truth[key] for key in deciding})


def _warnings(policy: Policy) -> Iterator[Finding]:
    yield from _classes(policy)
    yield from _forced(policy)
    yield from _unused(policy)
    yield from _polarities(policy)
    yield from _questions(policy)
    yield from _examples(policy)


def _classes(policy: Policy) -> Iterator[Finding]:
    """Classes that are missing for a response type, or that no completion can be in."""
    consistent = _consistent(policy)
    for response_type in policy.response_type_keys:
        rules = policy.classes_of(response_type)
        for name in policy.class_order:
            where = f"completion_classes.{name}.{response_type}"
            about = (response_type, (name,))
            if name not in rules:
                if rules:
                    message = f"{name} has no rule for response type {response_type}"
                    yield Finding("missing_class", WARNING, message, where, None, *about)
                continue
            truth = solve(policy, all_of=[rules[name]])
            if truth is None:
                message = f"{name} cannot hold for response type {response_type}"
                yield Finding("unreachable_class", WARNING, message, where, None, *about)
            elif consistent and solve(policy, all_of=[rules[name]], constrained=True) is None:
                witness = _witness(policy, response_type, (name,), truth).truth
                message = (
                    f"{name} can hold for response type {response_type} only where an implication "
                    "or exclusion is broken"
                )
                yield Finding("impossible_class", WARNING, message, where, witness, *about)


def _forced(policy: Policy) -> Iterator[Finding]:
    """Propositions that the constraints leave only one value."""
    for key in leaves_of(policy, _constrained_names(policy)) if _consistent(policy) else ():
        for value in (True, False):
            if solve(policy, all_of=[{key: value}], constrained=True) is None:
                message = f"the constraints allow {key} to be {str(not value).lower()} only"
                where = f"propositions.{key}"
                yield Finding("contradictory_constraints", WARNING, message, where)


def _consistent(policy: Policy) -> bool:
    return solve(policy, constrained=True) is not None


def _unused(policy: Policy) -> Iterator[Finding]:
    deciding = {key for kind in policy.response_type_keys for key in leaves(policy, kind)}
    for key in policy.proposition_keys:
        if key not in deciding:
            message = f"{key} is used in no class of any response type"
            yield Finding("unused_proposition", WARNING, message, f"propositions.{key}")
    used = _used_names(policy)
    for name in policy.derived:
        if name not in used:
            message = f"{name} is used in no class and no constraint"
            yield Finding("unused_derived", WARNING, message, f"derived_propositions.{name}")
    called_for = {category.response_type for category in policy.categories}
    for kind in policy.response_type_keys if policy.categories else ():
        if kind not in called_for:
            message = f"no category calls for response type {kind}"
            where = f"response_types.{kind}"
            yield Finding("unused_response_type", WARNING, message, where, None, kind)


def _used_names(policy: Policy) -> set[str]:
    """Every (derived) proposition that a class or a constraint stands on."""
    classes = [rule for by_type in policy.completion_classes.values() for rule in by_type.values()]
    todo = [name for literals in classes for name in literals] + _constrained_names(policy)
    used: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in used:
            used.add(name)
            todo.extend(policy.derived.get(name, ()))
    return used


def _constrained_names(policy: Policy) -> list[str]:
    names = [name for rule in policy.implications for name in (*rule.given, *rule.then)]
    return names + [name for exclusion in policy.exclusions for name in exclusion]


def _polarities(policy: Policy) -> Iterator[Finding]:
    """Stated polarities that the best class contradicts; where it is silent, any will do."""
    for proposition in policy.propositions:
        for kind, stated in proposition.polarity.items():
            ruled = derived_polarity(policy, proposition.key, kind)
            if ruled not in ("neutral", stated):
                best = next(iter(policy.classes_of(kind)))
                message = (
                    f"{proposition.key} is stated to be {stated} for response type {kind}, "
                    f"but the rules of {best} make it {ruled}"
                )
                where = f"propositions.{proposition.key}.polarity"
                yield Finding("polarity_contradiction", WARNING, message, where, None, kind)


def _questions(policy: Policy) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for proposition in policy.propositions:
        where = f"propositions.{proposition.key}.question"
        if reason := compound(proposition.question):
            message = f"{proposition.key} may ask two things at once: {reason}"
            yield Finding("compound_wording", WARNING, message, where)
        wording = " ".join(proposition.question.casefold().split())
        if (same := first.setdefault(wording, proposition.key)) != proposition.key:
            message = f"{proposition.key} asks the same question as {same}"
            yield Finding("duplicate_question", WARNING, message, where)


def _examples(policy: Policy) -> Iterator[Finding]:
    for proposition in policy.propositions:
        answers = {example.answer for example in proposition.examples}
        if len(answers) == 1:
            only = "yes" if answers == {True} else "no"
            message = f"every few-shot example of {proposition.key} has the answer {only}"
            where = f"propositions.{proposition.key}.examples"
            yield Finding("one_sided_examples", WARNING, message, where)
