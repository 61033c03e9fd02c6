"""Whether a proposition's question asks one thing: a careful guess from its wording.

Lists of verbs or nouns ("scold, shame or moralise") are one thing said in several words, so a bare
"and" or "or" is no sign. What counts is a second question, "and/or", "both … and", and an "and" or
"or" that starts a clause of its own ("… or does it …").
"""

from __future__ import annotations

import re

_FENCED = re.compile(r"^\s*(`{3,}|~{3,}).*?(^\s*\1|\Z)", re.MULTILINE | re.DOTALL)
_LISTED = re.compile(r"^\s*([-*>#•]|\d+[.)]).*$", re.MULTILINE)
_PAIRS = (('"', '"'), ("“", "”"), ("`", "`"), (r"\(", r"\)"))
_ASIDE = re.compile(
    "|".join(rf"{left}(?:[^{left}{right}\n]|\n(?!\s*\n))*{right}" for left, right in _PAIRS)
)
"""Quotations and brackets; they may go over a line end, not over an empty line."""
_END = re.compile(r"(?<=[.?!])\s+|\n\s*\n")
_RESTATED = re.compile(r"(specifically|that is|in other words|i\.e\.|put differently)\b", re.I)
_VERB = r"(?:does|do|did|is|are|was|were|has|have|can|could|will|would|should)"
_CLAUSE = re.compile(
    rf"\b(?:and|or)\s+(?:also\s+)?{_VERB}(?:n't)?\s+(?:it|they|he|she|the|this|that|its|there)\b",
    re.I,
)
_BOTH = re.compile(r"\bboth\b[^?]*\band\b", re.I)


def questions(text: str) -> list[str]:
    """The sentences of a text that ask, without examples, quotations, lists and asides.

    A sentence that only says the one before it again ("Specifically, …") is left out.
    """
    prose = _ASIDE.sub(" … ", _LISTED.sub("\n\n", _FENCED.sub("\n\n", text)))
    sentences = (" ".join(sentence.split()) for sentence in _END.split(prose))
    asking = [sentence for sentence in sentences if sentence.endswith("?")]
    return [
        sentence
        for number, sentence in enumerate(asking)
        if number == 0 or not _RESTATED.match(sentence)
    ]


def compound(text: str) -> str:
    """Why a question seems to ask two things at once; empty when it does not seem to."""
    asked = questions(text)
    if len(asked) > 1:
        return f"it asks {len(asked)} questions"
    for sentence in asked:
        if re.search(r"\band/or\b", sentence, re.I):
            return "it says “and/or”"
        if found := _CLAUSE.search(sentence):
            return f"it goes on with “{found[0].casefold()} …”"
        if _BOTH.search(sentence):
            return "it asks for both of two things"
    return ""
