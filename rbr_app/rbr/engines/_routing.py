"""Which of several servers gets which prompt, so that prefix caches are used and load is even."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from ..conversations import fingerprint
from .base import Cell

SLACK = 1.5
"""How many times its even share of a batch one server may get, to keep a prefix whole."""


def shared_part(cell: Cell) -> str:
    """A key for what the cell's prompt shares, at its beginning, with its neighbours.

    That is the question with its examples where the template asks it first, and the
    conversation's prompt otherwise (several completions of one prompt share it too). The template
    decides, not the text, so the key is the same in every batch and process.
    """
    text = cell.prompt.template.text
    item = [at for slot in ("{conversation}", "{response}") if (at := text.find(slot)) >= 0]
    question_first = "{conversation}" in text and text.find("{question}") < min(item)
    if not question_first:
        return cell.conversation.prompt_fingerprint
    examples = [[one.user, one.assistant, one.answer] for one in cell.prompt.examples]
    return fingerprint([text, cell.prompt.question, examples])


def assign(keys: Sequence[str], servers: Sequence[str]) -> list[int]:
    """Per key the index of its server.

    Equal keys go to the server that rendezvous hashing ranks first for them, so every process
    agrees and a server that comes or goes moves only its own keys. Big groups choose first. A
    group that would lift its server above `SLACK` times the even share (rounded up) goes whole to
    the next in its ranking; one that fits nowhere is spread, each server filled to its even share.
    Hence no server gets more than ceil(`SLACK` * ceil(n / servers)).
    """
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    even = math.ceil(len(keys) / len(servers))
    load = [0] * len(servers)
    chosen = [0] * len(keys)
    for key, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        ranking = _ranking(key, servers)
        for server, count in _places(len(members), ranking, load, even):
            for index in members[:count]:
                chosen[index] = server
            members = members[count:]
            load[server] += count
    return chosen


def _places(
    size: int, ranking: Sequence[int], load: Sequence[int], even: int
) -> list[tuple[int, int]]:
    """(server, how many of a group of `size`), one pair where the group stays whole."""
    limit = math.ceil(SLACK * even)
    for server in ranking:
        if load[server] + size <= limit:
            return [(server, size)]
    places = []
    for server in ranking:
        count = min(size, max(0, even - load[server]))
        if count:
            places.append((server, count))
        size -= count
    return places


def _ranking(key: str, servers: Sequence[str]) -> list[int]:
    """Server indices by the hash of key and name, highest first."""

    def weight(index: int) -> bytes:
        return hashlib.sha256(f"{servers[index]}\0{key}".encode()).digest()

    return sorted(range(len(servers)), key=weight, reverse=True)
