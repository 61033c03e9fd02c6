"""Numbers from a conversation's text, shared by all propositions of the classifier engine.

Blocks, side by side in one sparse matrix: TF-IDF of the completion's words (1-2) and of character
runs inside words (2-4), TF-IDF of its first sentence (1-3 words; refusals, apologies and changes of
subject show there), shape and overlap measures, and the response type. The block weights were
chosen by out-of-fold AUROC on the released Gold set's train split, with folds by prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from ..conversations import Conversation

VERSION = 1
"""Rises when the same text would give other numbers."""

FIRST_SENTENCE_WEIGHT = 0.5
SHAPE_WEIGHT = 0.1
RESPONSE_TYPE_WEIGHT = 0.2
_MIN_ROWS = 3  # a term has to occur in this many completions

_WORD = re.compile(r"[^\W\d_][\w']*")
_LIST_LINE = re.compile(r"^\s*(?:\d+[.)]|[-*])\s", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class TextFeatures:
    """Learns vocabularies, document frequencies and scales from texts; it never sees a label."""

    def fit(self, conversations: Sequence[Conversation]) -> Self:
        """Learn from the conversations. Their order does not matter as long as it is the same."""
        completions = [conversation.completion for conversation in conversations]
        self._blocks: list[tuple[float, Any, bool]] = []
        for weight, first_only, options in (
            (1.0, False, {"ngram_range": (1, 2)}),
            (1.0, False, {"ngram_range": (2, 4), "analyzer": "char_wb"}),
            (FIRST_SENTENCE_WEIGHT, True, {"ngram_range": (1, 3)}),
        ):
            texts = [_first_sentence(text) for text in completions] if first_only else completions
            vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=_MIN_ROWS, **options)
            try:
                vectorizer.fit(texts)
            except ValueError:  # no term is in enough completions: the block is left out
                continue
            self._blocks.append((weight, vectorizer, first_only))
        shape = np.array([_shape(conversation) for conversation in conversations])
        self._mean = shape.mean(axis=0)
        self._scale = np.where(shape.std(axis=0) > 0, shape.std(axis=0), 1.0)
        self._types = sorted({conversation.response_type for conversation in conversations})
        return self

    def transform(self, conversations: Sequence[Conversation]) -> sparse.csr_matrix:
        """Float64 matrix of shape (conversations, features)."""
        completions = [conversation.completion for conversation in conversations]
        first = [_first_sentence(text) for text in completions]
        shape = np.array([_shape(conversation) for conversation in conversations])
        shape = np.clip((shape - self._mean) / self._scale, -5.0, 5.0)
        types = np.array(
            [[float(c.response_type == name) for name in self._types] for c in conversations]
        )
        blocks = [
            weight * vectorizer.transform(first if first_only else completions)
            for weight, vectorizer, first_only in self._blocks
        ]
        blocks += [
            sparse.csr_matrix(SHAPE_WEIGHT * shape),
            sparse.csr_matrix(RESPONSE_TYPE_WEIGHT * types),
        ]
        return sparse.csr_matrix(sparse.hstack(blocks))


def _first_sentence(text: str) -> str:
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0]


def _shape(conversation: Conversation) -> NDArray[np.float64]:
    """Length, layout and punctuation of the completion, and how much it shares with the prompt."""
    text = conversation.completion
    request = conversation.prompt[-1].content if conversation.prompt else ""
    earlier = " ".join(message.content for message in conversation.prompt[:-1])
    said, asked, before = _words(text), _words(request), _words(earlier)
    count = len(_WORD.findall(text))
    return np.array(
        [
            np.log1p(count),
            np.log1p(len(text)),
            np.log1p(len(request)),
            len(said & asked) / max(1, len(asked)),
            len(said & asked) / max(1, len(said)),
            len(said & before) / max(1, len(said)),
            text.count("?"),
            text.strip().endswith("?"),
            text.count("!"),
            text.count("\n"),
            text.count('"'),
            bool(_LIST_LINE.search(text)),
            count < 25,
            not text.strip(),
        ],
        dtype=np.float64,
    )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
