"""Policies for property tests: small ones whose rules vary, whole ones whose texts vary."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from rbr_app.rbr.policy import (
    POLARITIES,
    Category,
    ContentArea,
    Example,
    Implication,
    Literals,
    Policy,
    PromptTemplate,
    Proposition,
    ResponseType,
)

ODD = ["yes", "No", "null", "~", "on", "y", "1e3", "2024-01-01", "0x1f", ".inf", "=", "<<", "- a"]
ODD += [
    "a: b",
    "a:",
    "a #b",
    "#",
    "{a}",
    "[a",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a",
    "|",
    ">-",
    "---",
]
ODD += [
    " a",
    "a ",
    "\ta",
    "a\t",
    "\na",
    "a\n",
    "a\n\n",
    "a\n \nb",
    "a \nb",
    " a\n  b",
    "\n",
    " ",
    '"',
]
ODD += [
    "a\r\nb",
    "a\u2028b",
    "a\x85b",
    "\ufeffa",
    "\x07",
    "é: ü",
    "日本語",
    "😀 # x",
    "'",
    "\\n",
    "a  b",
]
ODD += [
    "long " * 40,
    "long: " * 40,
    f"x\n{'long ' * 40}",
    "a\n\tb",
    "...",
    "a\n...\nb",
    "a\n# b",
    "?",
]


def texts() -> st.SearchStrategy[str]:
    """Texts that a policy may hold: anything but NUL and halves of surrogate pairs."""
    anything = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
    noisy = st.text(alphabet=" \t\n:#-'\"ab?é", max_size=12)
    return st.one_of(st.sampled_from(ODD), noisy, anything)


def conjunctions(names: list[str]) -> st.SearchStrategy[dict[str, bool]]:
    return st.dictionaries(st.sampled_from(names), st.booleans(), min_size=1, max_size=3)


@st.composite
def small_policies(draw: st.DrawFn, constraints: bool = False) -> Policy:
    """1-4 propositions, up to 3 derived ones, 1-3 classes and 1-2 response types."""
    names = [f"p{n}" for n in range(draw(st.integers(1, 4)))]
    propositions = tuple(Proposition(name, "?") for name in names)
    derived = {}
    for n in range(draw(st.integers(0, 3))):
        derived[f"d{n}"] = draw(conjunctions(names))
        names = [*names, f"d{n}"]
    types = ["t0", "t1"][: draw(st.integers(1, 2))]
    classes = [f"c{n}" for n in range(draw(st.integers(1, 3)))]
    literals = conjunctions(names)
    most = 2 if constraints else 0
    return Policy(
        propositions=propositions,
        derived=derived,
        completion_classes={name: {key: draw(literals) for key in types} for name in classes},
        class_order=tuple(classes),
        template=PromptTemplate("{question}{response}"),
        response_types=tuple(ResponseType(key) for key in types),
        implications=tuple(draw(distinct(st.builds(Implication, literals, literals), most))),
        exclusions=tuple(draw(distinct(literals, most))),
    )


def distinct(values: st.SearchStrategy, most: int) -> st.SearchStrategy:
    return st.lists(values, max_size=most, unique_by=repr).filter(
        lambda found: all(value not in found[:n] for n, value in enumerate(found))
    )


@st.composite
def whole_policies(draw: st.DrawFn) -> Policy:
    """Small policies with every field that a policy has, and odd texts in them."""
    policy = draw(small_policies(constraints=True))
    titled = st.fixed_dictionaries({"title": texts(), "description": texts()})
    areas = draw(st.lists(texts(), max_size=2, unique=True))
    keys = st.lists(texts(), max_size=3, unique=True) if areas else st.just([])
    areas_of_keys = sorted((draw(st.integers(0, len(areas) - 1)), key) for key in draw(keys))
    types = policy.response_type_keys
    classes = {name: f"{name}{draw(st.sampled_from(ODD))}"[:100] for name in policy.class_order}
    return Policy(
        propositions=tuple(draw(propositions(key, types)) for key in policy.proposition_keys),
        derived=policy.derived,
        completion_classes={
            classes[name]: {key: rules for key, rules in by_type.items() if draw(st.booleans())}
            for name, by_type in policy.completion_classes.items()
        },
        class_order=tuple(classes.values()),
        template=PromptTemplate(
            f"{draw(texts())}{{question}}{draw(texts())}{{response}}",
            draw(st.sampled_from(["question_first", "conversation_first"])),
        ),
        response_types=tuple(ResponseType(key, **draw(titled)) for key in types),
        content_areas=tuple(ContentArea(key[:100], **draw(titled)) for key in areas),
        categories=tuple(
            Category(key[:100], draw(st.sampled_from(types)), areas[n][:100], **draw(titled))
            for n, key in areas_of_keys
        ),
        title=draw(texts()),
        summary=draw(texts()),
        implications=policy.implications,
        exclusions=policy.exclusions,
        name=draw(texts()),
    )


def propositions(key: str, types: tuple[str, ...]) -> st.SearchStrategy[Proposition]:
    return st.builds(
        Proposition,
        key=st.just(key),
        question=texts().filter(str.strip),
        guideline=texts(),
        examples=st.lists(st.builds(Example, texts(), texts(), st.booleans()), max_size=2).map(
            tuple
        ),
        polarity=st.dictionaries(st.sampled_from(types), st.sampled_from(POLARITIES)),
    )


def assignments(keys: tuple[str, ...]) -> list[dict[str, bool]]:
    return [
        dict(zip(keys, values, strict=True)) for values in product([False, True], repeat=len(keys))
    ]


def holds(policy: Policy, literals: Literals, truth: dict[str, bool]) -> bool:
    """Whether a conjunction holds, computed without the kernel's rules."""

    def value(name: str) -> bool:
        return truth[name] if name in truth else holds(policy, policy.derived[name], truth)

    return all(value(name) == wanted for name, wanted in literals.items())


def held(policy: Policy, response_type: str, truth: dict[str, bool]) -> set[str]:
    """The classes that hold, computed without the kernel's rules."""
    return {
        name
        for name, by_type in policy.completion_classes.items()
        if response_type in by_type and holds(policy, by_type[response_type], truth)
    }


def keeps(policy: Policy, truth: dict[str, bool]) -> bool:
    """Whether a total truth keeps every implication and exclusion."""
    return all(
        holds(policy, rule.then, truth) or not holds(policy, rule.given, truth)
        for rule in policy.implications
    ) and not any(holds(policy, literals, truth) for literals in policy.exclusions)


def completions(policy: Policy, truth: dict[str, bool | None]) -> list[dict[str, bool]]:
    """Every way to fill in what is unknown."""
    return [
        row
        for row in assignments(policy.proposition_keys)
        if all(truth.get(key) in (None, value) for key, value in row.items())
    ]


@st.composite
def partial_truths(draw: st.DrawFn, policy: Policy) -> dict[str, bool | None]:
    known = {key: draw(st.sampled_from([True, False, None])) for key in policy.proposition_keys}
    return {key: value for key, value in known.items() if value is not None or draw(st.booleans())}
