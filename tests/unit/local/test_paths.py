from pathlib import Path
from urllib.parse import urlsplit

import environ
import pytest

from rbr_app.local import paths


def test_the_home_is_absolute_and_stands_beside_manage_py_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RBR_HOME")
    assert paths.home() == paths.PROJECT / ".rbr"
    monkeypatch.setenv("RBR_HOME", "here")
    monkeypatch.chdir(tmp_path)
    assert paths.home() == tmp_path / "here"


def test_sockets_lie_in_the_home_when_their_path_is_short_and_plain() -> None:
    assert paths.run_directory(Path("/srv/rbr")) == Path("/srv/rbr/run")


@pytest.mark.parametrize("home", ["/" + "x" * 90, "/srv/with space", "/srv/für", "/srv/a?b#c%20"])
def test_other_homes_get_a_short_plain_directory_of_their_own(home: str) -> None:
    directory = paths.run_directory(Path(home))
    assert directory == paths.run_directory(Path(home))
    assert directory != paths.run_directory(Path(home + "2"))
    # The longest name beside a socket of PostgreSQL must fit into an address of 107 bytes.
    assert len(f"{directory}/postgres/.s.PGSQL.5432.lock") <= 107
    assert directory.parent == Path("/tmp")


def test_the_run_directory_is_for_this_user_alone(tmp_path: Path) -> None:
    directory = paths.make_run_directory(tmp_path / "home")
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_run_directory_that_another_made_first_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(paths, "run_directory", lambda home: tmp_path / "run")
    with pytest.raises(PermissionError, match="belongs to another user"):
        paths.make_run_directory(tmp_path)


def test_addresses_are_what_django_and_celery_parse() -> None:
    home = Path("/srv/rbr")
    database = environ.Env.db_url_config(paths.database_url(home))
    assert (database["NAME"], database["USER"], database["OPTIONS"]) == (
        "rbr",
        "postgres",
        {"host": "/srv/rbr/run/postgres"},
    )
    broker = urlsplit(paths.broker_url(home))
    assert (broker.scheme, broker.path) == ("redis+socket", "/srv/rbr/run/broker.sock")
