"""Makes users: the first login of a new site, and people who labelled somewhere else."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Annotator:
    """The user who stands for a name in a file."""

    user: User
    is_new: bool


def find_or_make_annotators(*, names: Collection[str], prefix: str) -> dict[str, Annotator]:
    """The user of each name: by e-mail address, by user name, else a new one who cannot sign in.

    A name that is no e-mail address gets `prefix`, so that the number of a person elsewhere is
    nobody's name here; the same name finds the same user the next time. An address that several
    users have stands for the first of them.
    """
    return {name: _annotator(name, prefix) for name in sorted(names)}


def _annotator(name: str, prefix: str) -> Annotator:
    is_address = "@" in name
    if is_address:
        of_address = User.objects.filter(email__iexact=name)
        if (user := of_address.order_by("pk").first()) is not None:
            return Annotator(user, is_new=False)
    length = User._meta.get_field("username").max_length or 0
    made = re.sub(r"[^\w.@+-]", "-", name if is_address else f"{prefix}{name}")[:length]
    for username in (name, made):
        if (user := User.objects.filter(username=username).first()) is not None:
            return Annotator(user, is_new=False)
    user = User(username=made, email=name if is_address else "", is_active=False)
    user.set_unusable_password()
    user.save()
    return Annotator(user, is_new=True)
