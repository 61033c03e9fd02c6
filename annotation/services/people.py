"""Makes the login with which a new site is first entered."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.contrib.auth.models import User

FIRST_USER = "researcher"


def ensure_first_login(*, path: Path) -> tuple[str, str]:
    """The first user's name and password. The password is kept in `path`, readable by its owner.

    A password that was changed on the site stays as it was changed.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(9))
    password = path.read_text().strip()
    if not User.objects.filter(username=FIRST_USER).exists():
        User.objects.create_superuser(FIRST_USER, password=password)
    return FIRST_USER, password
