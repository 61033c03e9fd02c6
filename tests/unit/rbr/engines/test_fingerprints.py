from __future__ import annotations

import os
from pathlib import Path

import pytest

from rbr_app.rbr.engines import _fingerprints
from rbr_app.rbr.engines._fingerprints import model_fingerprint, tokenizer_fingerprint


def model(directory: Path, weights: bytes = b"w", tokenizer: str = "{}") -> Path:
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(weights)
    (directory / "tokenizer.json").write_text(tokenizer)
    return directory


def test_a_copy_elsewhere_with_another_date_is_the_same_model(tmp_path: Path) -> None:
    one, two = model(tmp_path / "a"), model(tmp_path / "b")
    os.utime(two / "model.safetensors", (0, 0))
    (two / "README.md").write_text("changes no answer")
    assert model_fingerprint(one) == model_fingerprint(two)
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(two)


def test_other_weights_and_another_tokenizer_show_separately(tmp_path: Path) -> None:
    one, two = model(tmp_path / "a"), model(tmp_path / "b", weights=b"v")
    three = model(tmp_path / "c", tokenizer="[]")
    assert model_fingerprint(one) != model_fingerprint(two)
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(two)
    assert model_fingerprint(one) == model_fingerprint(three)
    assert tokenizer_fingerprint(one) != tokenizer_fingerprint(three)


def test_large_files_are_sampled_from_the_first_byte_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fingerprints, "WHOLE_FILE_LIMIT", 100)
    monkeypatch.setattr(_fingerprints, "BLOCK", 10)
    monkeypatch.setattr(_fingerprints, "BLOCKS", 4)
    # Blocks of 10 bytes start at (1000 - 10) * (0, 1, 2, 3) / 3 = 0, 330, 660, 990.
    plain = bytes(1000)
    prints = {
        changed: model_fingerprint(
            model(tmp_path / str(changed), plain[:changed] + b"x" + plain[changed + 1 :])
        )
        for changed in (0, 335, 660, 999, 500)
    }
    unchanged = model_fingerprint(model(tmp_path / "plain", plain))
    assert [at for at, found in prints.items() if found == unchanged] == [500]
    assert model_fingerprint(model(tmp_path / "longer", bytes(1001))) != unchanged
