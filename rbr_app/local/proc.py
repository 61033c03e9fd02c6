"""What Linux says about processes, read from /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ENDED = "ZX"  # a zombie that nobody has collected, or dead


@dataclass(frozen=True)
class Process:
    pid: int
    name: str
    state: str
    parent: int

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def process(pid: int) -> Process | None:
    """The process with this number, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may itself hold any of them.
    name, _, rest = text[text.index("(") + 1 :].rpartition(")")
    state, parent = rest.split()[:2]
    return Process(pid, name, state, int(parent))


def children(pid: int) -> list[Process]:
    """The direct children of a process, ended but uncollected ones too."""
    entries = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [found for entry in entries if (found := process(entry)) and found.parent == pid]
