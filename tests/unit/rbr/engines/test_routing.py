"""Which server gets which prompt: prefixes stay whole, load stays even, processes agree."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.engines import Cell
from rbr_app.rbr.engines._routing import SLACK, assign, shared_part
from rbr_app.rbr.policy import Example, PromptTemplate

from .cells import APOLOGY, REFUSAL, cell, conversation

KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=60)
COUNTS = st.integers(1, 5)


def names(count: int) -> list[str]:
    return [f"http://gpu{number}:8000" for number in range(count)]


@given(KEYS, COUNTS)
def test_no_server_gets_more_than_its_share_and_half(keys: list[str], count: int) -> None:
    placed = Counter(assign(keys, names(count)))
    assert sum(placed.values()) == len(keys)
    most = math.ceil(SLACK * math.ceil(len(keys) / count))
    assert max(placed.values(), default=0) <= most


@given(KEYS, COUNTS)
def test_a_group_is_split_only_where_it_cannot_stay_whole(keys: list[str], count: int) -> None:
    placed = assign(keys, names(count))
    even = math.ceil(len(keys) / count)
    loads = Counter(placed)
    for key, size in Counter(keys).items():
        used = {server for each, server in zip(keys, placed, strict=True) if each == key}
        if len(used) > 1:
            # Wherever it went, the whole of it would have been too much for the least busy server.
            own = Counter(s for each, s in zip(keys, placed, strict=True) if each == key)
            others = min(loads[server] - own[server] for server in range(count))
            assert others + size > even


@given(KEYS, COUNTS)
def test_every_process_places_a_batch_alike(keys: list[str], count: int) -> None:
    assert assign(keys, names(count)) == assign(list(keys), names(count))


@pytest.mark.parametrize(
    ("groups", "servers", "expected"),
    [
        # One prefix for all: even share ceil(128 / 2) = 64, and 128 > 1.5 * 64 = 96: spread.
        ({"q": 128}, 2, [64, 64]),
        ({"q": 128}, 3, [42, 43, 43]),
        # Two prefixes of 64: both fit whole, and 2 * 64 > 96 keeps them on two servers.
        ({"p": 64, "q": 64}, 2, [64, 64]),
        # 90 <= 96 stays whole, the 38 go beside (90 + 38 > 96).
        ({"p": 90, "q": 38}, 2, [38, 90]),
        ({}, 2, []),
        ({"q": 1}, 3, [1]),
    ],
)
def test_load_stays_even_with_few_prefixes(
    groups: dict[str, int], servers: int, expected: list[int]
) -> None:
    keys = [key for key, size in groups.items() for _ in range(size)]
    assert sorted(Counter(assign(keys, names(servers))).values()) == expected


def test_a_prefix_stays_on_its_server_when_another_one_goes() -> None:
    keys = [f"conversation {number}" for number in range(400)]
    before = assign(keys, names(4))
    after = assign(keys, names(3))
    stayed = [a == b for b, a in zip(before, after, strict=True) if b != 3]
    assert sum(stayed) / len(stayed) > 0.85


def test_the_template_decides_what_neighbours_share() -> None:
    # APOLOGY's template asks first: its prompts share the question.
    assert shared_part(cell("a")) == shared_part(cell("b", user="Else"))
    assert shared_part(cell("a")) != shared_part(cell("a", REFUSAL))
    with_example = replace(APOLOGY, examples=(Example("u", "a", True),))
    assert shared_part(cell("a")) != shared_part(cell("a", with_example))


@pytest.mark.parametrize(
    "text",
    [
        "{conversation}{response}{question}",
        "{conversation}{question}{response}",
        "{question}{response}",  # the whole transcript is put in front
        "{response}{question}{conversation}",
    ],
)
def test_otherwise_the_prompt_of_the_conversation_is_shared(text: str) -> None:
    template = PromptTemplate(text)
    one, other = replace(APOLOGY, template=template), replace(REFUSAL, template=template)
    assert shared_part(Cell(conversation("a"), one)) == shared_part(Cell(conversation("b"), other))
    assert shared_part(cell("a", one)) != shared_part(cell("a", one, user="Else"))
