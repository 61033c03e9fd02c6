import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rbr_app.local import proc
from rbr_app.local.postgres import remove_stale_pid_file


def test_a_process_is_known_by_state_and_parent_until_it_is_collected() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        found = proc.process(child.pid)
        assert found is not None
        assert (found.parent, found.ended) == (os.getpid(), False)
        assert child.pid in {process.pid for process in proc.children(os.getpid())}
        child.kill()
        time.sleep(0.1)
        zombie = proc.process(child.pid)
        assert zombie is not None
        assert zombie.ended
    finally:
        child.wait()
    assert proc.process(child.pid) is None


def test_a_name_with_spaces_and_parentheses_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b"
    program.symlink_to(sys.executable)
    child = subprocess.Popen([program, "-c", "import time; time.sleep(60)"])
    try:
        time.sleep(0.1)
        found = proc.process(child.pid)
        assert found is not None
        assert (found.name, found.parent) == ("a) S (b", os.getpid())
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("content", ["", "no number", "999999999\n/data"])
def test_the_pid_file_of_a_server_that_has_gone_is_removed(tmp_path: Path, content: str) -> None:
    (tmp_path / "postmaster.pid").write_text(content)
    remove_stale_pid_file(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


def test_the_pid_file_of_a_zombie_or_of_a_foreign_process_is_removed(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"])
    time.sleep(0.2)
    for pid in (zombie.pid, os.getpid()):
        (tmp_path / "postmaster.pid").write_text(f"{pid}\n/data\n")
        remove_stale_pid_file(tmp_path)
        assert not (tmp_path / "postmaster.pid").exists()
    zombie.wait()


def test_the_pid_file_of_a_running_server_stays(tmp_path: Path) -> None:
    (tmp_path / "postgres").symlink_to("/bin/sleep")
    server = subprocess.Popen([tmp_path / "postgres", "60"])
    time.sleep(0.1)
    (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n")
    try:
        remove_stale_pid_file(tmp_path)
        assert (tmp_path / "postmaster.pid").exists()
    finally:
        server.kill()
        server.wait()
