"""Work goes on when the database comes back."""

from __future__ import annotations

import pytest
from django.db import OperationalError

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
