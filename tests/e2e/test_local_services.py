"""The supervisor with the real database, broker, workers and web server, each in its own home."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from rbr_app.local import paths, proc, status

ELSEWHERE = ("DATABASE_URL", "RBR_BROKER_URL", "RBR_WORKERS", "DJANGO_SETTINGS_MODULE")
HOLD = """
import json, sys
from rbr_app.local import SetupError, hold
try:
    with hold(*sys.argv[2:], port=int(sys.argv[1])) as addresses:
        print(json.dumps(addresses), flush=True)
        sys.stdin.readline()
except SetupError as error:
    sys.exit(f"error: {error}")
"""


def hear_interrupts() -> None:
    """A shell starts background jobs deaf to SIGINT, and their children inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """Another command of ours that holds services until it is told to end."""

    started: ClassVar[list[Command]] = []

    def __init__(self, home: Path, *services: str, port: int = 0, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(port), *services],
            cwd=paths.PROJECT,
            env=environment(home, **environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,
        )
        self.started.append(self)

    def addresses(self) -> dict[str, str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        return dict(json.loads(line))

    def end(self) -> tuple[int, str]:
        """Exit status and what it wrote to standard error."""
        _, errors = self.process.communicate("\n", timeout=60)
        return self.process.returncode, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return {**kept, "RBR_HOME": str(home), "RBR_DURABLE": "0", "RBR_BOOTSTRAP": "0", **more}


def manage(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(paths.PROJECT / "manage.py"), *arguments],
        env=environment(home, **environ),
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        check=False,
    )


def processes_of(home: Path) -> list[str]:
    """Living processes that belong to a home: by their arguments, environment or directory."""
    found = []
    for folder in Path("/proc").iterdir():
        process = proc.process(int(folder.name)) if folder.name.isdigit() else None
        if process is None or process.ended or process.pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            seen = [(folder / name).read_bytes() for name in ("cmdline", "environ")]
            seen.append(os.fsencode(os.readlink(folder / "cwd")))
            if any(os.fsencode(home) in text for text in seen):
                found.append(f"{process.pid} {process.name}")
    return found


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "did not come about in time"
        time.sleep(0.02)
    return time.monotonic() - began


def service(home: Path, name: str) -> dict[str, Any]:
    rows = (status(home) or {"services": []})["services"]
    return next((row for row in rows if row["service"] == name), {"state": "absent", "pid": 0})


def is_back(home: Path, name: str, old_pid: int) -> Callable[[], bool]:
    def check() -> bool:
        now = service(home, name)
        return now["state"] == "running" and now["pid"] != old_pid

    return check


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def query(address: str, statement: str) -> Any:
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def ping(home: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(paths.broker_socket(home)))
        connection.sendall(b"PING\r\n")
        return connection.recv(100)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield from _home(tmp_path / "home")


@pytest.fixture
def other_home(tmp_path: Path) -> Iterator[Path]:
    yield from _home(tmp_path / "other")


def _home(path: Path) -> Iterator[Path]:
    yield path
    while Command.started:
        Command.started.pop().kill()
    with contextlib.suppress(AssertionError):
        eventually(lambda: not processes_of(path), 20)
    left = processes_of(path)
    for line in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    shutil.rmtree(paths.run_directory(path), ignore_errors=True)
    assert not left


def test_a_command_gets_a_database_and_a_broker_and_leaves_nothing_running(home: Path) -> None:
    command = Command(home, "postgres", "broker")
    addresses = command.addresses()
    assert query(addresses["postgres"], "select current_database()") == ("rbr",)
    assert ping(home) == b"+PONG\r\n"
    assert command.end() == (0, "")
    assert processes_of(home) == []


def test_what_a_service_needs_is_started_with_it_and_data_outlives_the_command(home: Path) -> None:
    first = Command(home, "postgres")
    address = first.addresses()["postgres"]
    query(address, "create table kept (n int)")
    first.end()
    second = Command(home, "postgres")
    assert second.addresses()["postgres"] == address
    assert query(address, "select count(*) from kept") == (0,)
    second.end()


def test_two_commands_share_the_database_and_the_last_one_to_end_stops_it(home: Path) -> None:
    first, second = Command(home, "postgres", "broker"), Command(home, "postgres")
    address = first.addresses()["postgres"]
    assert second.addresses() == {"postgres": address}
    pid = service(home, "postgres")["pid"]
    first.end()
    assert service(home, "postgres")["pid"] == pid
    assert service(home, "broker")["state"] == "absent"
    second.end()
    assert status(home) is None
    assert processes_of(home) == []


def test_commands_started_at_the_same_moment_get_one_supervisor(home: Path) -> None:
    commands = [Command(home, "postgres") for _ in range(6)]
    assert len({command.addresses()["postgres"] for command in commands}) == 1
    assert sum("postmaster" in p or "postgres" in p for p in processes_of(home)) > 0
    holders = service(home, "postgres")["holders"]
    assert {row["pid"] for row in holders} == {command.process.pid for command in commands}
    for command in commands:
        command.process.stdin and command.process.stdin.close()
    assert [command.process.wait(30) for command in commands] == [0] * 6
    assert processes_of(home) == []


def test_a_command_that_comes_while_the_last_one_ends_is_served(home: Path) -> None:
    for _ in range(8):
        first = Command(home, "broker")
        first.addresses()
        first.process.kill()
        second = Command(home, "broker")
        second.addresses()
        assert ping(home) == b"+PONG\r\n"
        first.process.wait()
        assert second.end() == (0, "")


def test_a_killed_command_leaves_no_orphans(home: Path) -> None:
    command = Command(home, "postgres", "broker")
    command.addresses()
    command.kill()
    eventually(lambda: not processes_of(home))


def test_an_interrupted_command_stops_what_it_started_and_no_other(home: Path) -> None:
    stays, goes = Command(home, "broker"), Command(home, "postgres", "broker")
    stays.addresses(), goes.addresses()
    goes.process.send_signal(signal.SIGINT)
    goes.process.wait(20)
    assert service(home, "postgres")["state"] == "absent"
    assert ping(home) == b"+PONG\r\n"
    stays.end()


def test_a_command_interrupted_during_the_start_leaves_nothing(home: Path) -> None:
    command = Command(home, "postgres")
    eventually(lambda: service(home, "postgres")["state"] == "starting")
    command.kill()
    eventually(lambda: not processes_of(home))
    again = Command(home, "postgres")
    assert query(again.addresses()["postgres"], "select 1") == (1,)
    again.end()


def test_a_killed_database_is_back_within_two_seconds_with_its_rows(home: Path) -> None:
    command = Command(home, "postgres")
    address = command.addresses()["postgres"]
    query(address, "create table kept as select generate_series(1, 1000) as n")
    for _ in range(2):
        pid = service(home, "postgres")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert eventually(is_back(home, "postgres", pid)) < 2
        assert query(address, "select count(*) from kept") == (1000,)
    command.end()


def test_a_killed_broker_is_back_within_two_seconds_with_its_messages(home: Path) -> None:
    command = Command(home, "broker")
    command.addresses()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(paths.broker_socket(home)))
        connection.sendall(b"RPUSH queue a b c\r\n")
        assert connection.recv(100) == b":3\r\n"
    pid = service(home, "broker")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(is_back(home, "broker", pid)) < 2
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(paths.broker_socket(home)))
        connection.sendall(b"LLEN queue\r\n")
        assert connection.recv(100) == b":3\r\n"
    command.end()


def test_a_killed_supervisor_takes_everything_along_and_the_next_one_finds_the_data(
    home: Path,
) -> None:
    command = Command(home, "postgres", "broker")
    address = command.addresses()["postgres"]
    query(address, "create table kept as select 42 as n")
    found = status(home)
    assert found is not None
    # By their numbers: a process that changed its title no longer shows whose it is.
    children = psutil.Process(found["pid"]).children(recursive=True)
    assert len(children) > 4
    os.kill(found["pid"], signal.SIGKILL)
    eventually(lambda: not any(_lives(child.pid) for child in children))
    command.end()
    again = Command(home, "postgres")
    assert query(again.addresses()["postgres"], "select n from kept") == (42,)
    again.end()


def test_everything_killed_at_once_can_be_started_again_with_its_data(home: Path) -> None:
    command = Command(home, "postgres", "broker")
    query(command.addresses()["postgres"], "create table kept as select 42 as n")
    for line in processes_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    command.process.wait()
    again = Command(home, "postgres", "broker")
    assert query(again.addresses()["postgres"], "select n from kept") == (42,)
    again.end()


def test_a_supervisor_asked_to_end_stops_everything(home: Path) -> None:
    command = Command(home, "postgres", "broker")
    command.addresses()
    found = status(home)
    assert found is not None
    os.kill(found["pid"], signal.SIGTERM)
    mine = f"{command.process.pid} "
    eventually(lambda: not [p for p in processes_of(home) if not p.startswith(mine)])
    command.end()


def test_two_homes_side_by_side_never_meet(home: Path, other_home: Path) -> None:
    one, two = Command(home, "postgres", "broker"), Command(other_home, "postgres", "broker")
    first, second = one.addresses(), two.addresses()
    assert not set(first.values()) & set(second.values())
    query(first["postgres"], "create table mine (n int)")
    assert query(second["postgres"], "select to_regclass('mine')") == (None,)
    one.end()
    assert query(second["postgres"], "select 1") == (1,)
    two.end()


@pytest.mark.parametrize("name", ["with a space", "x" * 120])
def test_a_home_whose_path_no_socket_can_have_works_all_the_same(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    command = Command(home, "postgres", "broker")
    assert query(command.addresses()["postgres"], "select 1") == (1,)
    assert ping(home) == b"+PONG\r\n"
    command.end()
    assert processes_of(home) == []
    shutil.rmtree(paths.run_directory(home))


def test_durability_is_on_unless_it_is_switched_off(home: Path, other_home: Path) -> None:
    durable, quick = Command(home, "postgres", RBR_DURABLE="1"), Command(other_home, "postgres")
    assert query(durable.addresses()["postgres"], "show fsync") == ("on",)
    assert query(quick.addresses()["postgres"], "show fsync") == ("off",)
    durable.end(), quick.end()


def test_services_run_elsewhere_are_not_started(home: Path) -> None:
    command = Command(
        home, "postgres", "broker", DATABASE_URL="postgresql://db/x", RBR_BROKER_URL="redis://q"
    )
    assert command.addresses() == {"postgres": "postgresql://db/x", "broker": "redis://q"}
    assert status(home) is None
    command.end()


def test_a_taken_port_is_one_clear_line_and_leaves_nothing(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = Command(home, "web", port=port).end()
    assert code == 1
    assert errors.startswith(f"error: port {port} is taken by another program")
    assert errors.count("\n") == 1
    assert processes_of(home) == []


def test_a_service_that_cannot_start_says_why_and_where_to_look(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("18\n")
    code, errors = Command(home, "postgres").end()
    assert code == 1
    assert errors.startswith("error: postgres ended at its start with 2")
    assert str(home / "logs" / "postgres.log") in errors
    assert errors.count("\n") == 1
    assert processes_of(home) == []


def test_data_of_another_postgresql_is_refused_untouched(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("15\n")
    code, errors = Command(home, "postgres").end()
    assert (code, "was written by PostgreSQL 15" in errors) == (1, True)
    assert [path.name for path in (home / "postgres").iterdir()] == ["PG_VERSION"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the data to another user")
def test_without_user_namespaces_root_gives_the_data_to_nobody(tmp_path: Path) -> None:
    code = subprocess.run(
        ["setpriv", "--reuid=nobody", "--clear-groups", "ls", str(tmp_path), sys.executable],
        capture_output=True,
        check=False,
    ).returncode
    home = tmp_path / "home"
    command = Command(home, "postgres", RBR_NO_USER_NAMESPACE="1")
    if code:
        ended, errors = command.end()
        assert (ended, "the user nobody cannot reach" in errors) == (1, True)
    else:
        assert query(command.addresses()["postgres"], "select 1") == (1,)
        assert (home / "postgres").stat().st_uid != 0
        command.end()
    assert processes_of(home) == []
    shutil.rmtree(paths.run_directory(home))


def test_workers_and_the_site_come_back_after_every_kind_of_kill(home: Path) -> None:
    port = free_port()
    assert manage(home, "migrate", "--verbosity", "0").returncode == 0
    command = Command(home, "worker", "model_worker", "web", port=port)
    assert command.addresses()["web"] == f"http://localhost:{port}"
    assert 200 <= _page(port) < 600
    for name in ("worker", "model_worker", "web"):
        pid = service(home, name)["pid"]
        pool = {child.pid for child in proc.children(pid)}
        assert pool
        os.kill(pid, signal.SIGKILL)
        # Nothing of the killed one may go on beside its successor.
        eventually(lambda pool=pool: not any(_lives(child) for child in pool), 2)
        eventually(lambda name=name, pid=pid: service(home, name)["pid"] != pid, 2)
        eventually(is_back(home, name, pid))
    assert 200 <= _page(port) < 600
    assert command.end() == (0, "")
    assert processes_of(home) == []


def test_a_killed_supervisor_leaves_no_worker_behind(home: Path) -> None:
    command = Command(home, "worker", "web", port=free_port())
    command.addresses()
    found = status(home)
    assert found is not None
    os.kill(found["pid"], signal.SIGKILL)
    mine = f"{command.process.pid} "
    eventually(lambda: not [p for p in processes_of(home) if not p.startswith(mine)])
    command.end()


def _page(port: int) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}/login/", timeout=20) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def _lives(pid: int) -> bool:
    process = proc.process(pid)
    return process is not None and not process.ended


def test_a_command_migrates_the_embedded_database_once_even_if_two_start_together(
    home: Path,
) -> None:
    arguments = [sys.executable, str(paths.PROJECT / "manage.py"), "shell", "-c", "pass"]
    both = [
        subprocess.Popen(arguments, env=environment(home), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert "".join(errors).count("migrations to the database") == 1
    assert processes_of(home) == []


def test_a_database_elsewhere_is_migrated_when_it_is_new_and_left_alone_when_it_is_behind(
    home: Path, other_home: Path
) -> None:
    command = Command(home, "postgres")
    url = command.addresses()["postgres"]
    query(url, "create table theirs (n int)")
    behind = manage(other_home, "shell", "-c", "pass", DATABASE_URL=url)
    assert behind.returncode == 1
    assert behind.stderr == (
        "error: the database at DATABASE_URL is behind: run `manage.py migrate` first\n"
    )
    query(url, "drop table theirs")
    new = manage(other_home, "shell", "-c", "pass", DATABASE_URL=url)
    assert (new.returncode, "migrations to the database" in new.stderr) == (0, True)
    assert query(url, "select to_regclass('auth_user') is not null") == (True,)
    command.end()


def test_a_database_that_does_not_answer_is_one_clear_line(home: Path) -> None:
    done = manage(home, "showmigrations", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the database at DATABASE_URL does not answer")
    assert done.stderr.count("\n") == 1


def test_status_for_humans_names_services_and_holders(home: Path) -> None:
    command = Command(home, "broker")
    command.addresses()
    shown = subprocess.run(
        [sys.executable, "-m", "rbr_app.local", "status"],
        cwd=paths.PROJECT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"broker        {service(home, 'broker')['pid']} running" in shown
    assert f"held by {command.process.pid}" in shown
    command.end()
