"""Leaks between splits: each kind found and named, and no false alarm."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.conversations import Conversation, Message
from rbr_app.rbr.leakage import Leak, jaccard, leaks, shingles, without_form
from rbr_app.rbr.policy import Example

WORDS = [f"word{n}" for n in range(3000)]


def row(*turns: str, completion: str = "") -> Conversation:
    """A conversation whose turns alternate, the user first."""
    roles = ("user", "assistant")
    return Conversation(
        tuple(Message(roles[n % 2], text) for n, text in enumerate(turns)), completion
    )


def text(n: int, seed: int) -> str:
    return " ".join(Random(seed).choices(WORDS, k=n))


def kinds(found: list[Leak]) -> list[str]:
    return [leak.kind for leak in found]


# The prompt


def test_the_same_prompt_leaks_whatever_its_completion() -> None:
    found = leaks({"a": row("Tell me.", completion="x")}, {"b": row("Tell me.", completion="y")})
    assert found == [Leak("same_prompt", "b", 1.0, train_id="a")]


@pytest.mark.parametrize(
    "prompt",
    [
        "tell me about CATS",
        " Tell me\nabout  cats!",
        "“Tell me, about cats…”",
        "Tell me about cats?",
    ],
)
def test_case_spaces_and_punctuation_do_not_make_another_prompt(prompt: str) -> None:
    found = leaks({"a": row("Tell me about cats.")}, {"b": row(prompt)})
    assert found == [Leak("same_prompt_but_for_form", "b", 1.0, train_id="a")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Is 1 + 1 two?", "Is 1 < 1 two?"),
        ("I feel 😀", "I feel 😭"),
        ("?", "!"),
        ("हिन्दी कि", "हिन्दी की"),
        ("你好吗", "你好"),
    ],
)
def test_what_differs_in_more_than_form_is_another_prompt(first: str, second: str) -> None:
    assert leaks({"a": row(first)}, {"b": row(second)}) == []


def test_apostrophes_join_and_other_punctuation_separates() -> None:
    assert without_form("Don’t  e-mail, please!") == "dont e mail please"
    assert without_form(" ?! ") == "?!"
    assert without_form("Ｆｕｌｌ ﬁne") == "full fine"


def test_a_user_turn_is_not_the_same_as_an_assistants() -> None:
    train = Conversation((Message("system", "Hi"), Message("user", "Go on")), "x")
    test = Conversation((Message("user", "Hi"), Message("user", "Go on")), "y")
    assert "same_prompt" not in kinds(leaks({"a": train}, {"b": test}))


def test_a_conversation_that_goes_on_from_a_train_prompt_leaks() -> None:
    train, test = row("One?", completion="1"), row("One?", "1", "Two?", completion="2")
    # one of three turns in common
    assert leaks({"a": train}, {"b": test}) == [
        Leak("start_of_conversation", "b", pytest.approx(1 / 3), train_id="a")
    ]
    assert leaks({"a": test}, {"b": train}) == [
        Leak("start_of_conversation", "b", pytest.approx(1 / 3), train_id="a")
    ]


def test_the_train_row_with_most_turns_in_common_is_named() -> None:
    train = {
        "one": row("One?"),
        "three": row("one", "1", "Two?"),
        "seven": row("One?", "1", "Two?", "2", "Three?", "3", "Four?"),
        "first": row("Other?"),
    }
    # of five turns: one 1/5, three 3/5; seven holds five of its seven
    found = leaks(train, {"b": row("One?", "1", "Two?", "2", "Three?")})
    assert found == [Leak("start_of_conversation", "b", pytest.approx(5 / 7), train_id="seven")]


def test_conversations_that_part_after_an_equal_start_are_no_start_of_each_other() -> None:
    assert leaks({"a": row("One?", "1", "Two?")}, {"b": row("One?", "1", "Three?")}) == []


def test_a_common_system_message_is_no_common_start() -> None:
    system = Message("system", "Be kind.")
    train = Conversation((system, Message("user", "One?")), "x")
    test = Conversation((system, Message("user", "Two?")), "y")
    assert leaks({"a": train}, {"b": test}) == []


# Near duplicates


def test_shingles_are_sets_of_three_words_of_the_last_user_turn_and_the_completion() -> None:
    found = shingles(row("Ignored", "too", "A b, c", completion="D!"))
    assert found == {"a b c", "b c d"}
    assert shingles(row("Hi", completion="")) == {"hi"}
    assert shingles(row("", completion="")) == frozenset()
    assert shingles(row("猫が好き", completion="")) == {"猫 が 好", "が 好 き"}


def test_jaccard_is_shared_by_all() -> None:
    # {a, b, c} and {b, c, d}: 2 of 4
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset(), frozenset()) == 0.0


def test_a_changed_word_in_a_long_completion_is_a_near_duplicate() -> None:
    prompt, completion = text(20, 1), text(80, 2)
    changed = completion.replace(completion.split()[40], "another", 1)
    train = {"x": row(text(20, 3), completion=text(80, 4)), "a": row(prompt, completion=completion)}
    [leak] = leaks(train, {"b": row(prompt + " please", completion=changed)})
    assert (leak.kind, leak.train_id) == ("near_duplicate", "a")
    # 98 threes; the changed word takes 3 and brings 3, "please" between the texts takes 2 and
    # brings 3: 93 of 99 + 98 - 93
    assert leak.score == pytest.approx(93 / (98 + 99 - 93))


def test_below_the_threshold_nothing_is_shown() -> None:
    prompt, completion = text(20, 1), text(80, 2)
    train = {"a": row(prompt, completion=completion)}
    test = {"b": row(prompt + " please", completion=completion)}
    # 98 threes, of which "please" takes 2 and brings 3: 96 / 101
    assert kinds(leaks(train, test, threshold=0.95)) == ["near_duplicate"]
    assert leaks(train, test, threshold=0.96) == []


def test_a_near_duplicate_of_the_same_prompt_is_told_once() -> None:
    completion = text(80, 2)
    train = {"a": row("Tell me.", completion=completion)}
    assert kinds(leaks(train, {"b": row("tell me", completion=completion)})) == [
        "same_prompt_but_for_form"
    ]


def test_a_test_row_may_repeat_the_prompt_of_one_row_and_the_text_of_another() -> None:
    completion = text(80, 2)
    train = {"a": row("Tell me."), "c": row("Start", "x", "Tell me!", completion=completion)}
    found = leaks(train, {"b": row("Tell me.", completion=completion)})
    assert [(leak.kind, leak.train_id) for leak in found] == [
        ("same_prompt", "a"),
        ("near_duplicate", "c"),
    ]


def test_empty_texts_are_no_duplicates_of_each_other() -> None:
    assert leaks({"a": row("x", "y", "")}, {"b": row("z", "y", "")}) == []


def test_nine_in_ten_pairs_at_the_threshold_are_found_and_all_well_above_it() -> None:
    rng, train, test = Random(0), {}, {}
    expected = []
    for n in range(150):
        words = rng.choices(WORDS, k=100)
        other = list(words)
        for at in rng.sample(range(100), 4):
            other[at] = f"changed{n}"
        train[f"a{n}"], test[f"b{n}"] = row(" ".join(words)), row(" ".join(other))
        expected.append(jaccard(shingles(train[f"a{n}"]), shingles(test[f"b{n}"])))
    found = {leak.test_id for leak in leaks(train, test, threshold=0.75)}
    near = [f"b{n}" for n, score in enumerate(expected) if score >= 0.75]
    # Each is missed with probability below 0.01.
    assert len(near) > 100
    assert len(found) >= 0.95 * len(near)
    assert found <= set(near)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        leaks({}, {}, threshold=threshold)


# Few-shot examples


def test_an_example_whose_user_turn_or_completion_stands_in_a_test_row_leaks() -> None:
    example = Example("How do I pick a lock?", "I'm sorry, I can't.", True)
    test = {
        "u": row("how do i pick a lock", completion="Like this."),
        "c": row("Something else", completion="I’m sorry – I can’t!"),
        "earlier": row("How do I pick a lock?", "I'm sorry, I can't.", "Why?", completion="So."),
        "no": row("How do I pick a lock today?", completion="I'm sorry, I can't do that."),
    }
    assert leaks({}, test, [("apology", example)]) == [
        Leak("example_user_turn", "u", 1.0, proposition="apology"),
        Leak("example_completion", "c", 1.0, proposition="apology"),
        Leak("example_user_turn", "earlier", 1.0, proposition="apology"),
        Leak("example_completion", "earlier", 1.0, proposition="apology"),
    ]


def test_an_example_of_several_propositions_leaks_for_each_once() -> None:
    example = Example("Hello there", "", True)
    found = leaks({}, {"b": row("Hello there")}, [("x", example), ("y", example), ("x", example)])
    assert [leak.proposition for leak in found] == ["x", "y"]


def test_an_empty_example_text_leaks_nowhere() -> None:
    assert leaks({}, {"b": row("Hello", completion="")}, [("x", Example("", " ", True))]) == []


# All of it


def test_nothing_leaks_from_or_into_nothing() -> None:
    assert leaks({}, {}) == []
    assert leaks({"a": row("Hi")}, {}) == []
    assert leaks({}, {"b": row("Hi")}) == []


TEXTS = st.lists(st.sampled_from(["a", "B", "c.", "d e", ""]), min_size=1, max_size=6).map(" ".join)
ROWS = st.lists(
    st.tuples(st.lists(TEXTS, min_size=1, max_size=3).filter(lambda t: len(t) % 2), TEXTS).map(
        lambda pair: row(*pair[0], completion=pair[1])
    ),
    max_size=6,
).map(lambda rows: {f"r{n}": one for n, one in enumerate(rows)})


@given(ROWS, ROWS)
def test_every_shown_leak_is_one(
    train: dict[str, Conversation], test: dict[str, Conversation]
) -> None:
    for leak in leaks(train, test):
        mine, theirs = test[leak.test_id], train[leak.train_id]
        plain = [[without_form(m.content) for m in one.prompt] for one in (mine, theirs)]
        short, long = sorted(plain, key=len)
        if leak.kind == "same_prompt":
            assert mine.prompt == theirs.prompt
        elif leak.kind == "same_prompt_but_for_form":
            assert plain[0] == plain[1]
        elif leak.kind == "start_of_conversation":
            assert long[: len(short)] == short
            assert leak.score == len(short) / len(long) < 1
        else:
            assert leak.score == jaccard(shingles(mine), shingles(theirs)) >= 0.8


@given(ROWS)
def test_every_row_leaks_into_itself(rows: dict[str, Conversation]) -> None:
    found = [leak for leak in leaks(rows, rows) if leak.kind == "same_prompt"]
    assert [leak.test_id for leak in found] == list(rows)


@given(ROWS, ROWS)
def test_leaks_come_in_the_order_of_the_test_rows(
    train: dict[str, Conversation], test: dict[str, Conversation]
) -> None:
    order = list(test)
    places = [order.index(leak.test_id) for leak in leaks(train, test)]
    assert places == sorted(places)
