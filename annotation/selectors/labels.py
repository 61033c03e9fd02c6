"""The truth that counts, for reports, maps and exports."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.models import GoldTruth

Truths = dict[tuple[int, str], bool]
"""(completion pk, proposition key) -> truth. Undecided and unlabelled cells are absent."""


def gold_truths(completions: Iterable[int]) -> Truths:
    """The truth that counts for each cell that has one."""
    found = GoldTruth.objects.filter(completion__in=completions, truth__isnull=False)
    return {
        (completion, key): truth
        for completion, key, truth in found.values_list(
            "completion", "proposition__key", "truth"
        ).iterator(chunk_size=10_000)
        if truth is not None
    }
