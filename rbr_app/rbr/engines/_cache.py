"""The identity of a grade: equal for two cells exactly when their answers must be equal."""

from __future__ import annotations

from uuid import UUID

from ..conversations import fingerprint
from ..grader import render_prompt
from .base import Cell


def cell_fingerprint(grader: str, cell: Cell, training_fingerprint: str = "") -> UUID:
    """The first 128 bits of the sha256 over everything that determines a cell's grade.

    `grader` is the fingerprint of the grader version: configuration and probed facts (model,
    tokenizer, token sets, dtype, `RENDERING`). A language model sees nothing but the rendered
    prompt and the prefill, so two conversations or propositions that render alike share a grade.
    An engine that learns sees the conversation itself, its response type among it, and which
    proposition is meant, but no prompt; `training_fingerprint` stands for the rows it learned
    from, and "" for an engine that does not learn.
    """
    return UUID(fingerprint([grader, _seen(cell, training_fingerprint)])[:32])


def _seen(cell: Cell, training_fingerprint: str) -> list[str]:
    if not training_fingerprint:
        prompt = render_prompt(cell.prompt, cell.conversation)
        return ["prompt", prompt.text, prompt.prefill]
    told = cell.conversation
    seen = [training_fingerprint, cell.prompt.key, told.fingerprint, told.response_type]
    return ["learned", *seen]
