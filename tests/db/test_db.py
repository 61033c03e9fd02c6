"""Work goes on when the database comes back, and a long reading is of one moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import InternalError, OperationalError, connection, transaction

from rbr_app import db


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "PAUSES", (0.0, 0.0))


class Away:
    """A database that fails `times` before it answers."""

    def __init__(self, times: int) -> None:
        self.left, self.tries = times, 0

    def work(self) -> str:
        self.tries += 1
        if self.left:
            self.left -= 1
            raise OperationalError("the connection was closed")
        return "stored"


@pytest.mark.parametrize("times", [0, 1, 2])
def test_work_is_tried_again_until_the_database_answers(times: int) -> None:
    away = Away(times)
    assert db.patiently(away.work) == "stored"
    assert away.tries == times + 1


def test_a_database_that_stays_away_is_an_error() -> None:
    away = Away(9)
    with pytest.raises(OperationalError, match="was closed"):
        db.patiently(away.work)
    # Two pauses, so three tries.
    assert away.tries == 3


def test_any_other_error_is_raised_at_once() -> None:
    tries = []

    def work() -> None:
        tries.append(1)
        raise ValueError("not the database's fault")

    with pytest.raises(ValueError, match="not the database's fault"):
        db.patiently(work)
    assert tries == [1]


def make_somebody() -> None:
    User.objects.create(username="somebody")
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_written_meanwhile_is_not_of_the_moment() -> None:
    with db.one_moment(), ThreadPoolExecutor(1) as pool:
        assert User.objects.count() == 0
        pool.submit(make_somebody).result(20)
        assert User.objects.count() == 0
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_in_one_moment() -> None:
    with pytest.raises(InternalError, match="read-only"), db.one_moment():
        User.objects.create(username="somebody")


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_its_own_isolation_counts() -> None:
    with transaction.atomic(), ThreadPoolExecutor(1) as pool, db.one_moment():
        assert User.objects.count() == 0
        pool.submit(make_somebody).result(20)
        assert User.objects.count() == 1
