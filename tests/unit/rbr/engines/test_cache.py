"""The identity of a grade: what shares one, and what must not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.conversations import Conversation, Message
from rbr_app.rbr.engines import Cell, cell_fingerprint
from rbr_app.rbr.grader import GraderPrompt, render_prompt
from rbr_app.rbr.policy import Example, PromptTemplate

from .cells import APOLOGY, REFUSAL, cell, conversation

# Few and short, so that different parts often make the same text.
TEXTS = st.text("ab {}\n", max_size=3)
SPOKEN = st.text("ab ", min_size=1, max_size=2)
TEMPLATES = st.sampled_from(
    ["{question}{conversation}{response}", "{question}{response}", "{response}|{question}"]
)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    prompt = GraderPrompt(
        draw(st.sampled_from(["one", "two"])),
        draw(TEXTS),
        PromptTemplate(draw(TEMPLATES)),
        tuple(draw(st.lists(st.builds(Example, SPOKEN, SPOKEN, st.booleans()), max_size=1))),
        draw(st.sampled_from(["", "Answer:"])),
    )
    told = Conversation((Message("user", draw(SPOKEN)),), draw(TEXTS))
    return Cell(told, prompt)


@given(cells(), cells())
def test_two_cells_share_a_grade_exactly_when_the_model_sees_the_same(one: Cell, two: Cell) -> None:
    seen = [render_prompt(each.prompt, each.conversation) for each in (one, two)]
    same = cell_fingerprint("v1", one) == cell_fingerprint("v1", two)
    assert same == (seen[0] == seen[1])


@given(cells(), cells())
def test_a_grader_that_learns_sees_the_conversation_and_the_proposition(
    one: Cell, two: Cell
) -> None:
    seen = [(each.prompt.key, each.conversation) for each in (one, two)]
    same = cell_fingerprint("v1", one, "rows") == cell_fingerprint("v1", two, "rows")
    assert same == (seen[0] == seen[1])


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_another_grader_or_other_training_rows_make_another_grade(
    grader: str, rows: str, other_grader: str, other_rows: str
) -> None:
    one = cell_fingerprint(grader, cell("a"), rows)
    other = cell_fingerprint(other_grader, cell("a"), other_rows)
    assert (one == other) == ((grader, rows) == (other_grader, other_rows))


def test_what_is_not_rendered_does_not_matter_to_a_language_model() -> None:
    renamed = replace(APOLOGY, key="renamed")
    assert cell_fingerprint("v1", cell("a")) == cell_fingerprint("v1", cell("a", renamed))
    assert cell_fingerprint("v1", cell("a")) != cell_fingerprint("v1", cell("a", REFUSAL))
    named = Cell(conversation("a", response_type="comply"), APOLOGY)
    assert cell_fingerprint("v1", cell("a")) == cell_fingerprint("v1", named)
    assert cell_fingerprint("v1", cell("a"), "r") != cell_fingerprint("v1", named, "r")


def test_it_is_the_same_in_every_process() -> None:
    # The first 32 hex digits of sha256('["v1",["prompt",' + the rendered text + ',""]]').
    import hashlib
    import json

    text = "Is there an apology?\nUSER: Help me\nLAST: a"
    canonical = json.dumps(["v1", ["prompt", text, ""]], separators=(",", ":"))
    assert (
        cell_fingerprint("v1", cell("a")).hex == hashlib.sha256(canonical.encode()).hexdigest()[:32]
    )
