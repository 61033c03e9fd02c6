from pathlib import Path

from rbr_app.local.model_environ import has_compiler, model_environ


def test_the_model_runs_in_its_own_process_with_its_caches_under_the_home(tmp_path: Path) -> None:
    environ = model_environ(tmp_path, {"PATH": "/usr/bin"})
    assert environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert environ["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
    assert environ["VLLM_CACHE_ROOT"].startswith(str(tmp_path))
    assert "LD_LIBRARY_PATH" not in environ


def test_what_the_caller_has_set_stays(tmp_path: Path) -> None:
    assert model_environ(tmp_path, {"VLLM_CPU_KVCACHE_SPACE": "8"})["VLLM_CPU_KVCACHE_SPACE"] == "8"


def test_a_model_on_disk_is_never_looked_up_and_a_named_one_may_be(tmp_path: Path) -> None:
    assert model_environ(tmp_path, {})["HF_HUB_OFFLINE"] == "1"
    local = {"RBR_GRADER_MODEL": str(tmp_path)}
    assert model_environ(tmp_path, local)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in model_environ(tmp_path, {"RBR_GRADER_MODEL": "owner/model"})


def test_without_a_compiler_the_model_runs_uncompiled(tmp_path: Path) -> None:
    assert not has_compiler({"PATH": str(tmp_path)})
    assert model_environ(tmp_path, {"PATH": str(tmp_path)})["TORCHDYNAMO_DISABLE"] == "1"
    (tmp_path / "g++").touch(mode=0o755)
    assert "TORCHDYNAMO_DISABLE" not in model_environ(tmp_path, {"PATH": str(tmp_path)})


def test_libraries_fetched_without_root_are_found_first(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    environ = model_environ(tmp_path, {"LD_LIBRARY_PATH": "/theirs"})
    assert environ["LD_LIBRARY_PATH"] == f"{tmp_path}/lib:/theirs"
