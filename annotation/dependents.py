"""What depends on a policy downstream of annotation; each app that has such rows registers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from annotation.models import Policy


@dataclass(frozen=True)
class StaleArtefact:
    """Something made under an earlier meaning, and what changed since.

    `because` is a sentence such as "apology changed its meaning in v4".
    """

    kind: str
    name: str
    url: str
    because: str


Provider = Callable[[Policy], Iterable[StaleArtefact]]
_providers: list[Provider] = []


def register(provider: Provider) -> None:
    """Called once per provider, when its app is ready."""
    _providers.append(provider)


def stale_dependents(policy: Policy) -> list[StaleArtefact]:
    """Everything downstream that a change of meaning made stale."""
    return [artefact for provider in _providers for artefact in provider(policy)]
