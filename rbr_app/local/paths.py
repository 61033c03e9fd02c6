"""Where things are on this machine. Standard library only; nothing here needs a running server."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# A socket's address holds 107 bytes, and PostgreSQL appends `.s.PGSQL.5432.lock` in between.
MAX_SOCKET_DIRECTORY = 85


def home() -> Path:
    """The absolute ``RBR_HOME``: all that is kept (default ``.rbr`` beside manage.py)."""
    configured = os.environ.get("RBR_HOME")
    return Path(configured).expanduser().absolute() if configured else PROJECT / ".rbr"


def venv() -> Path:
    """The environment that manage.py makes and runs in."""
    return PROJECT / ".venv"


def manages_packages() -> bool:
    """Whether `.venv` is ours to make; not with ``RBR_BOOTSTRAP=0``, in an image built with all."""
    return os.environ.get("RBR_BOOTSTRAP", "1") != "0"


def logs(home: Path) -> Path:
    return home / "logs"


def run_directory(home: Path) -> Path:
    """Directory of the sockets: ``run`` under the home, or a short one named after it in /tmp.

    The second is used when the path is too long for a socket address, or holds characters that a
    URL would need to escape. It depends on the home and the user alone, so that settings find it.
    """
    plain = home / "run"
    text = str(plain / "postgres")
    if len(os.fsencode(text)) <= MAX_SOCKET_DIRECTORY and re.fullmatch(
        r"[\w./+-]+", text, re.ASCII
    ):
        return plain
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(f"/tmp/rbr-{os.getuid()}-{digest}")  # noqa: S108


def make_run_directory(home: Path) -> Path:
    """`run_directory`, created for this user alone.

    Raises:
        PermissionError: somebody else owns that directory.
    """
    directory = run_directory(home)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to another user")
    return directory


def supervisor_socket(home: Path) -> Path:
    return run_directory(home) / "supervisor.sock"


def database_socket(home: Path) -> Path:
    """Directory of the embedded PostgreSQL's socket, as clients give it for ``host``."""
    return run_directory(home) / "postgres"


def broker_socket(home: Path) -> Path:
    return run_directory(home) / "broker.sock"


def database_url(home: Path) -> str:
    """Address of the embedded database, whether or not it runs now."""
    return f"postgresql://postgres@/rbr?host={database_socket(home)}"


def broker_url(home: Path) -> str:
    """Address of the embedded broker for Celery, whether or not it runs now."""
    return f"redis+socket://{broker_socket(home)}?virtual_host=0"
