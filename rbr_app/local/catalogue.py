"""Which services there are, what each needs, and which are run elsewhere. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# In the order of starting; a service needs only earlier ones.
NEEDS: dict[str, tuple[str, ...]] = {
    "postgres": (),
    "broker": (),
    "worker": ("postgres", "broker"),
    "model_worker": ("postgres", "broker"),
    "web": ("postgres", "broker"),
}


def elsewhere(environ: Mapping[str, str]) -> dict[str, str]:
    """Services that the environment places outside this machine's care, with their address."""
    found = {}
    if environ.get("DATABASE_URL"):
        found["postgres"] = environ["DATABASE_URL"]
    if environ.get("RBR_BROKER_URL"):
        found["broker"] = environ["RBR_BROKER_URL"]
    if environ.get("RBR_WORKERS") == "elsewhere":
        found |= {"worker": "elsewhere", "model_worker": "elsewhere"}
    return found


def wanted(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """The named services and what they need, less those run elsewhere, in the order of starting.

    Raises:
        ValueError: a name is unknown.
    """
    away = elsewhere(environ)
    asked = set(names)
    if unknown := asked - NEEDS.keys():
        raise ValueError(f"no such service: {', '.join(sorted(unknown))}")
    here = asked - away.keys()
    here |= {need for name in here for need in NEEDS[name]} - away.keys()
    return [name for name in NEEDS if name in here]
