"""The environment variables that configure the site, typed. Settings read nothing else."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import environ

from .local import paths

env = environ.Env()

HOME: Path = paths.home()
DEBUG: bool = env.bool("RBR_DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list(
    "RBR_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]
)
TRUSTED_ORIGINS: list[str] = env.list("RBR_TRUSTED_ORIGINS", default=[])
DATABASE_URL: str = env.str("DATABASE_URL", default="")
BROKER_URL: str = env.str("RBR_BROKER_URL", default="")
GRADER_MODEL: str = env.str("RBR_GRADER_MODEL", default="")
GRADER_URL: str = env.str("RBR_GRADER_URL", default="")
GRADER_DTYPE: str = env.str("RBR_GRADER_DTYPE", default="")
UPLOAD_MB: int = env.int("RBR_UPLOAD_MB", default=50)


def secret_key() -> str:
    """``RBR_SECRET_KEY``, or a key that is made once and kept under ``RBR_HOME``."""
    key: str = env.str("RBR_SECRET_KEY", default="")
    if key:
        return key
    path = HOME / "secret_key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".secret_key.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        # A link, not a rename: of two first starts at once, both must end with the same key.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()
