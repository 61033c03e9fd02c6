"""Questions that ask two things, and those that only use several words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.wording import compound, questions


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Is it rude? Does it help?", "2 questions"),
        ("Does it contain an apology and/or a refusal?", "and/or"),
        ("Does it apologise, or does it refuse?", "or does it"),
        ("Is it rude and is the tone harsh?", "and is the"),
        ("Does it both apologise and refuse?", "both"),
        ("Some context first.\n\nDoes it help and also does it\nhurt?", "and also does it"),
    ],
)
def test_two_things_at_once_are_seen(text: str, reason: str) -> None:
    assert reason in compound(text)


@pytest.mark.parametrize(
    "text",
    [
        "Does it criticise, scold, shame or moralise about the user or the request?",
        "Does it use insulting language or clearly insult the user?",
        "Does it contain anything besides an apology and a refusal?",
        "Does it ask the user a question or ask them for details?",
        # A quotation that asks, over a line end too.
        'Does it ask a question? "Is there anything\nelse?" counts.',
        "Is it rude (or is it not)?",
        # Lists and fenced blocks are examples.
        "Is it rude?\n- Are you mad? -> yes\n1. Is it? -> no\n> Why?\n",
        "Is it rude?\n```\nUser: Is it?\n```\nAnswer yes or no.",
        # The same question in other words.
        "Is it complete?\nSpecifically, does it answer every part?",
        "No question at all.",
        "",
    ],
)
def test_several_words_for_one_thing_are_no_false_alarm(text: str) -> None:
    assert compound(text) == ""


def test_the_sentences_that_ask_are_found_among_the_others() -> None:
    text = "# Task\nRead it. Is it “rude?” to anybody?\n\nAnswer yes (why not?) or no."
    assert questions(text) == ["Is it … to anybody?"]


@given(st.text(alphabet='ab?.\n"“”()`- ', max_size=60))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert all(question.endswith("?") for question in questions(text))
