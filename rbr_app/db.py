"""What both apps need of the database besides the ORM."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)

T = TypeVar("T")
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)


def patiently(work: Callable[[], T]) -> T:
    """`work`, tried again for a while when the database is away: a restart takes seconds.

    It must do no harm when done twice: a commit may have gone through whose answer was lost.
    Raises what `work` raised last.
    """
    for pause in PAUSES:
        try:
            return work()
        except (OperationalError, InterfaceError):
            close_old_connections()
            time.sleep(pause)
    return work()


@contextmanager
def one_moment() -> Iterator[None]:
    """All that is read inside is of one moment, however long the reading takes.

    Inside a transaction that has begun already, its isolation decides.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
