"""What a model directory holds, as hashes that do not depend on its path or its dates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "config.json")
TOKENIZER = (
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template*",
    "*.tiktoken",
    "*.model",
)

WHOLE_FILE_LIMIT = 2**30
BLOCK = 2**20
BLOCKS = 256


def model_fingerprint(directory: Path) -> str:
    """sha256 over configuration and weights.

    Of files above 1 GiB, the size and 256 evenly spread blocks of 1 MiB (the first and the last
    among them) are hashed instead of all: training moves every tensor, and a start must not take
    minutes.
    """
    return _fingerprint(directory, WEIGHTS)


def tokenizer_fingerprint(directory: Path) -> str:
    """sha256 over everything that turns a conversation into token ids."""
    return _fingerprint(directory, TOKENIZER)


def _fingerprint(directory: Path, patterns: Iterable[str]) -> str:
    paths = {path for pattern in patterns for path in directory.glob(pattern) if path.is_file()}
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\0{_file_hash(path)}\0".encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= WHOLE_FILE_LIMIT:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for block in range(BLOCKS):
            stream.seek((size - BLOCK) * block // (BLOCKS - 1))
            digest.update(stream.read(BLOCK))
        return digest.hexdigest()
