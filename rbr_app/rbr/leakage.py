"""What stands in train and in test at once, and makes a held-out number say too much.

Five ways are looked for: the same prompt, the same prompt but for case, spaces and punctuation,
a conversation that is the start of another, a last user turn with its completion that is nearly
another's, and a few-shot example that stands in a test row. Each shown leak is certain: MinHash
(Broder 1997) only proposes near duplicates, the exact Jaccard index of the word sets decides.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .conversations import Conversation
from .policy import Example

Kind = Literal[
    "same_prompt",
    "same_prompt_but_for_form",
    "start_of_conversation",
    "near_duplicate",
    "example_user_turn",
    "example_completion",
]
Turns: TypeAlias = tuple[tuple[str, str], ...]

THRESHOLD = 0.8
PERMUTATIONS = 128
MISSED = 0.01
"""The chance that a pair right at the threshold is not proposed; more alike pairs are safer."""
SHINGLE = 3
CHECKED = 64
"""Proposals compared exactly for one test row, those most alike by MinHash first."""

# Scripts written without spaces: each character is a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True)
class Leak:
    """Something in train, or in a proposition's few-shot examples, that a test row repeats.

    `score` is 1 for the same prompt and for examples, the share of turns in common for the start
    of a conversation, the Jaccard index for near duplicates.
    """

    kind: Kind
    test_id: str
    score: float
    train_id: str = ""
    proposition: str = ""


def leaks(
    train: Mapping[str, Conversation],
    test: Mapping[str, Conversation],
    examples: Iterable[tuple[str, Example]] = (),
    threshold: float = THRESHOLD,
) -> list[Leak]:
    """What leaks from `train` (id -> row) and from ``(proposition, example)`` into `test`.

    For a test row there is at most one leak of its prompt, the plainest of the three kinds, one
    near duplicate of another prompt, and one for each proposition with an example that stands in
    it. Of several train rows the most alike is named (of near duplicates by MinHash's estimate),
    the first of equals. In the order of the test rows. `threshold` is the Jaccard index over sets
    of three words from which rows are near duplicates; `ValueError` outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
    found = [
        *_prompt_leaks(train, test),
        *_near_duplicates(train, test, threshold),
        *_example_leaks(test, tuple(examples)),
    ]
    place = {test_id: index for index, test_id in enumerate(test)}
    return sorted(found, key=lambda leak: place[leak.test_id])


def without_form(text: str) -> str:
    """`text` without case, punctuation and superfluous spaces; of punctuation alone, the text."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_PUNCTUATION).split()) or folded.strip()


def shingles(row: Conversation) -> frozenset[str]:
    """The sets of three successive words in the last user turn and the completion, without form.

    Of fewer than three words, the words together.
    """
    words: list[str] = []
    for text in (row.prompt[-1].content, row.completion):
        words += _WORD.findall(without_form(text))
    if len(words) < SHINGLE:
        return frozenset({" ".join(words)} - {""})
    return frozenset(map(" ".join, zip(*(words[at:] for at in range(SHINGLE)), strict=False)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared elements by all elements; 0 for two empty sets."""
    together = len(first | second)
    return len(first & second) / together if together else 0.0


class _Punctuation(dict[int, int | str | None]):
    """For `str.translate`: apostrophes go, other punctuation becomes a space, the rest stays.

    Filled as characters come, because a table of all of Unicode takes a noticeable time to build.
    Symbols stay: ``1 + 1`` is not ``1 < 1``, nor one emoji another.
    """

    def __missing__(self, code: int) -> int | str | None:
        is_punctuation = unicodedata.category(chr(code)).startswith("P")
        self[code] = " " if is_punctuation else code
        return self[code]


_PUNCTUATION = _Punctuation({ord("'"): None, ord("’"): None})


def _turns(row: Conversation) -> Turns:
    return tuple((message.role, without_form(message.content)) for message in row.prompt)


def _openings(turns: Turns) -> Iterator[Turns]:
    """The proper beginnings of a prompt that are prompts themselves, the longest first."""
    for end in range(len(turns) - 1, 0, -1):
        if turns[end - 1][0] == "user":
            yield turns[:end]


def _prompt_leaks(
    train: Mapping[str, Conversation], test: Mapping[str, Conversation]
) -> Iterator[Leak]:
    exact: dict[str, str] = {}
    whole: dict[Turns, str] = {}
    opening: dict[Turns, tuple[int, str]] = {}
    for train_id, row in train.items():
        turns = _turns(row)
        exact.setdefault(row.prompt_fingerprint, train_id)
        whole.setdefault(turns, train_id)
        for start in _openings(turns):
            # Of the conversations that go on from here, the shortest has most in common.
            if start not in opening or opening[start][0] > len(turns):
                opening[start] = (len(turns), train_id)
    for test_id, row in test.items():
        turns = _turns(row)
        if row.prompt_fingerprint in exact:
            yield Leak("same_prompt", test_id, 1.0, exact[row.prompt_fingerprint])
        elif turns in whole:
            yield Leak("same_prompt_but_for_form", test_id, 1.0, whole[turns])
        elif starts := _starts(turns, whole, opening):
            score, train_id = max(starts, key=lambda start: start[0])
            yield Leak("start_of_conversation", test_id, score, train_id)


def _starts(
    turns: Turns, whole: Mapping[Turns, str], opening: Mapping[Turns, tuple[int, str]]
) -> list[tuple[float, str]]:
    """The train rows that begin as `turns` do or end before, with the share of turns in common."""
    found = [
        (len(start) / len(turns), whole[start]) for start in _openings(turns) if start in whole
    ]
    if turns in opening:
        length, train_id = opening[turns]
        found.append((len(turns) / length, train_id))
    return found


def _near_duplicates(
    train: Mapping[str, Conversation], test: Mapping[str, Conversation], threshold: float
) -> Iterator[Leak]:
    lsh = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(threshold))
    rows = list(train.items())
    sketches = np.zeros((len(rows), PERMUTATIONS), dtype=np.uint32)
    for index, sketch in enumerate(_sketches(train.values())):
        if not sketch.is_empty():
            lsh.insert(index, sketch, check_duplication=False)
            sketches[index] = sketch.hashvalues
    words = lru_cache(maxsize=4 * CHECKED)(lambda index: shingles(rows[index][1]))
    prompts = lru_cache(maxsize=None)(lambda index: _turns(rows[index][1]))
    for (test_id, row), sketch in zip(test.items(), _sketches(test.values()), strict=True):
        proposed = lsh.query(sketch)
        if not proposed:
            continue
        turns, mine = _turns(row), shingles(row)
        alike = _by_likeness(proposed, sketches, sketch.hashvalues)
        # That the prompt is the same is told already.
        others = (index for index in alike if prompts(index) != turns)
        for index in islice(others, CHECKED):
            score = jaccard(mine, words(index))
            if score >= threshold:
                yield Leak("near_duplicate", test_id, score, rows[index][0])
                break


def _bands(threshold: float) -> tuple[int, int]:
    """Bands and rows: the longest rows with which few pairs at the threshold are missed.

    A pair of Jaccard index s is proposed with probability 1 - (1 - sʳ)ᵇ (Leskovec et al., Mining
    of Massive Datasets, 3.4). The library's own choice balances misses with false proposals and
    misses six in ten pairs at 0.8; here proposals are checked, so only misses cost.
    """
    fit = [
        (PERMUTATIONS // rows, rows)
        for rows in range(1, PERMUTATIONS // 2 + 1)
        if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= MISSED
    ]
    return fit[-1] if fit else (PERMUTATIONS, 1)


def _sketches(rows: Iterable[Conversation]) -> Iterator[MinHash]:
    sets = ([shingle.encode("utf-8", "surrogatepass") for shingle in shingles(row)] for row in rows)
    # crc32 instead of the default SHA-1: several times as fast, and the exact index decides.
    return iter(MinHash.generator(sets, num_perm=PERMUTATIONS, hashfunc=zlib.crc32))


def _by_likeness(
    proposed: list[int], sketches: NDArray[np.uint32], mine: NDArray[np.uint32]
) -> list[int]:
    """`proposed` rows, those with most hash values in common first, then in their order."""
    indices = np.sort(np.array(proposed, dtype=np.intp))
    common = (sketches[indices] == mine).sum(axis=1)
    return [int(index) for index in indices[np.argsort(-common, kind="stable")]]


def _example_leaks(
    test: Mapping[str, Conversation], examples: tuple[tuple[str, Example], ...]
) -> Iterator[Leak]:
    users: dict[str, dict[str, None]] = {}
    completions: dict[str, dict[str, None]] = {}
    for proposition, example in examples:
        for known, text in ((users, example.user), (completions, example.assistant)):
            if text.strip():
                known.setdefault(without_form(text), {})[proposition] = None
    if not users and not completions:
        return
    for test_id, row in test.items():
        said = [without_form(m.content) for m in row.prompt if m.role == "user"]
        answered = [without_form(m.content) for m in row.prompt if m.role == "assistant"]
        answered.append(without_form(row.completion))
        for proposition in dict.fromkeys(p for text in said for p in users.get(text, ())):
            yield Leak("example_user_turn", test_id, 1.0, proposition=proposition)
        for proposition in dict.fromkeys(p for text in answered for p in completions.get(text, ())):
            yield Leak("example_completion", test_id, 1.0, proposition=proposition)
