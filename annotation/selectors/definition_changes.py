"""Which versions gave a proposition another meaning, and what an older answer is stale for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from annotation.models import DefinitionChange, Policy, PolicyVersion


def because(key: str, number: int) -> str:
    """The sentence that says why something is stale; pages show it as it is."""
    return f"{key} changed its meaning in v{number}"


@dataclass(frozen=True)
class MeaningChanges:
    """Proposition key -> the numbers of the versions that changed its meaning, rising."""

    numbers: dict[str, tuple[int, ...]]

    def since(self, key: str, version: PolicyVersion) -> str:
        """Why what was made under `version` is stale on `key`; empty where it is not."""
        later = [number for number in self.numbers.get(key, ()) if number > version.number]
        return because(key, later[-1]) if later else ""


def meaning_changes(policy: Policy | int) -> MeaningChanges:
    """Every change of a proposition's meaning in a policy line; changes of the rules are none."""
    found = DefinitionChange.objects.filter(version__policy=policy, proposition__isnull=False)
    numbers: dict[str, list[int]] = defaultdict(list)
    for key, number in found.order_by("version__number").values_list(
        "proposition__key", "version__number"
    ):
        numbers[key].append(number)
    return MeaningChanges({key: tuple(found) for key, found in numbers.items()})
