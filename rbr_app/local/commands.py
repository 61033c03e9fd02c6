"""Runs one Django command inside `.venv`, with the services and the tables that it needs."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

from . import catalogue, paths
from .client import hold
from .errors import SetupError

# These read no row. The others get the database; what else they need they hold themselves.
WITHOUT_SERVICES = {
    "",
    "--help",
    "--version",
    "-h",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "help",
    "makemessages",
    "makemigrations",
    "startapp",
    "testserver",
    "version",
}
WITHOUT_MIGRATION = WITHOUT_SERVICES | {
    "dbshell",
    "migrate",
    "showmigrations",
    "sqlmigrate",
    "squashmigrations",
}
# Any number will do, if nothing else in this database takes the same advisory lock.
MIGRATION_LOCK = 7_262_272


def services_of(arguments: list[str]) -> tuple[str, ...]:
    """The services that a command line needs before Django runs it."""
    command = arguments[0] if arguments else ""
    if command in WITHOUT_SERVICES or {"--help", "-h"} & set(arguments):
        return ()
    return ("postgres",)


def run(argv: list[str]) -> int:
    """The exit status of ``manage.py`` with these arguments.

    Raises:
        SetupError: one line for the person at the terminal.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "rbr_app.settings"
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    arguments = argv[1:]
    services = services_of(arguments)
    if not services:
        # makemigrations looks at the database if it can, which is no news when it cannot.
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history")
    try:
        with hold(*services):
            if services and arguments[0] not in WITHOUT_MIGRATION:
                bring_up_to_date()
            with _psql(arguments[:1]):
                execute_from_command_line(["manage.py", *arguments])
    except OperationalError as error:
        raise SetupError(_unreachable(error)) from error
    except ImproperlyConfigured as error:
        raise SetupError(f"the settings cannot be used: {error}") from error
    except BrokenPipeError:
        # The reader of our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def bring_up_to_date() -> None:
    """Apply the migrations that the embedded database, or a new one elsewhere, still lacks.

    Raises:
        SetupError: a database that is in use elsewhere is behind; its owner decides when.
    """
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    if not _pending():
        return
    if "postgres" in catalogue.elsewhere(os.environ) and connection.introspection.table_names():
        raise SetupError("the database at DATABASE_URL is behind: run `manage.py migrate` first")
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            # Another command may have been quicker.
            if count := _pending():
                print(f"applying {count} migrations to the database …", file=sys.stderr)
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("select pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    connection.close()


def _pending() -> int:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _unreachable(error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
    if os.environ.get("DATABASE_URL"):
        return f"the database at DATABASE_URL does not answer ({reason}): start it, or unset that"
    return f"the database failed ({reason}): see {paths.logs(paths.home()) / 'postgres.log'}"


@contextlib.contextmanager
def _psql(command: list[str]) -> Iterator[None]:
    """`dbshell` calls psql, which the embedded server brings along off the PATH."""
    if command == ["dbshell"] and "postgres" not in catalogue.elsewhere(os.environ):
        from .postgres import binary

        os.environ["PATH"] += os.pathsep + str(binary("psql").parent)
        os.environ.setdefault("PGHOST", str(paths.database_socket(paths.home())))
    yield
