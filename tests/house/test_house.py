"""The house tests itself: what its rules say of files, dependencies, migrations and commands."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands, load_command_class

from tests.conftest import PROJECT

APPS = ("rbr_app", "annotation", "grading")
LONGEST = 400
"""Lines of a Python file or a template."""
LONGEST_E2E = 600
"""A file of end-to-end tests brings its scaffolding with it."""
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "stuff"}
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(work|root|farm|home/(?!x/|you/)\w+|Users)/[\w.~-]")
"""`/home/x` and `/home/you` are invented: nobody works there."""
STUBS = re.compile(r"types-[\w-]+|[\w-]+-(stubs|types)")
"""Packages that hold only types: their name says what they are for."""
IGNORED = {".venv", ".rbr", ".git", ".hypothesis", "__pycache__"}
KERNEL_BARRED = {"django", "celery", "rest_framework", "psycopg", *APPS}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the checkout that is or would be tracked."""
    if (PROJECT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
        found = [PROJECT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [
            path
            for path in PROJECT.rglob("*")
            if IGNORED.isdisjoint(parts := path.relative_to(PROJECT).parts)
            and not any(part.endswith("_cache") for part in parts)
        ]
    return tuple(sorted(path for path in found if path.is_file()))


def named(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def modules(*folders: str) -> list[Path]:
    return [
        path
        for path in files()
        if path.suffix == ".py" and named(path).startswith(tuple(f"{f}/" for f in folders))
    ]


def test_the_house_is_found() -> None:
    assert len(modules("rbr_app/rbr")) > 5
    assert len(modules("annotation")) > 5
    assert len(modules("grading")) > 5
    assert PROJECT / "pyproject.toml" in files()


def test_every_module_says_what_it_is_for() -> None:
    # A package's empty `__init__.py` is no module; migrations are written by Django.
    silent = [
        named(path)
        for path in modules("rbr_app/rbr", "annotation", "grading")
        if "migrations" not in path.parts
        and (text := path.read_text()).strip()
        and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_no_file_is_a_hall() -> None:
    long = {
        named(path): lines
        for path in files()
        if path.suffix in (".py", ".html")
        and "migrations" not in path.parts  # written by Django
        and (lines := len(path.read_text().splitlines()))
        > (LONGEST_E2E if named(path).startswith("tests/e2e/") else LONGEST)
    }
    assert long == {}


def test_no_module_has_a_name_that_means_nothing() -> None:
    assert [named(path) for path in modules(*APPS, "tests") if path.stem in VAGUE] == []
    folders = {part for path in files() for part in path.relative_to(PROJECT).parts[:-1]}
    assert folders.isdisjoint(VAGUE)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = []
    for path in files():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{named(path)}:{number}"
            for number, line in enumerate(lines, start=1)
            if MACHINE_PATH.search(line)
        ]
    assert found == []


def test_the_kernel_imports_no_framework_and_imports_itself_relatively() -> None:
    absolute = []
    for path in modules("rbr_app/rbr"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            absolute += [
                f"{named(path)}: {name}" for name in names if name.split(".")[0] in KERNEL_BARRED
            ]
    assert absolute == []


def test_every_kernel_module_has_a_test_module_that_mirrors_it() -> None:
    tested = {named(path) for path in modules("tests")}
    missing = [
        named(path)
        for path in modules("rbr_app/rbr")
        if not path.name.startswith("_")
        and path.parent.name == "rbr"
        and f"tests/unit/rbr/test_{path.name}" not in tested
    ]
    assert missing == []


# Dependencies


def project() -> dict:  # type: ignore[type-arg]
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def direct() -> list[str]:
    """Requirements that are stated in pyproject.toml, of the site and of every group."""
    document = project()
    groups = document.get("dependency-groups", {}).values()
    return [*document["project"]["dependencies"], *(entry for group in groups for entry in group)]


def package(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).casefold()


def test_every_direct_dependency_has_a_reason_on_its_line() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    unexplained = []
    for requirement in direct():
        [line] = [line for line in text.splitlines() if f'"{requirement}"' in line]
        _, _, reason = line.partition("#")
        if not reason.strip() and not STUBS.fullmatch(package(requirement)):
            unexplained.append(requirement)
    assert unexplained == []


def locked() -> Iterator[tuple[str, str]]:
    for line in (PROJECT / "requirements.txt").read_text().splitlines():
        text = line.partition("#")[0].partition(";")[0].strip()
        if text:
            name, equals, version = text.partition("==")
            assert equals, f"{line!r} pins nothing"
            yield package(name), version.strip()


def test_the_lock_pins_every_direct_dependency_to_the_version_asked_for() -> None:
    versions = dict(locked())
    for requirement in direct():
        name, _, wanted = requirement.partition("==")
        assert package(name) in versions, requirement
        # A local version such as +cpu says which build it is.
        assert not wanted or versions[package(name)].partition("+")[0] == wanted


def test_the_lock_names_each_package_once() -> None:
    names = [name for name, _ in locked()]
    assert sorted(names) == sorted(set(names))


# Django


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)
    except SystemExit:
        pytest.fail(f"makemigrations would write:\n{capsys.readouterr().out}")


def test_migrations_are_linear_and_have_names() -> None:
    for app in ("annotation", "grading"):
        names = sorted(
            path.stem for path in modules(f"{app}/migrations") if path.name != "__init__.py"
        )
        assert names
        assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))
        assert [name for name in names if "_auto_" in name or "merge" in name] == []


def our_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in APPS)


def test_the_commands_of_the_readme_are_there() -> None:
    wanted = {"import_policy", "import_conversations", "run_grader", "report"}
    assert wanted <= set(our_commands())


@pytest.mark.parametrize("name", our_commands())
def test_every_command_and_each_of_its_options_is_explained(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    assert command.help
    assert command.help[0].isupper()
    assert command.help.endswith(".")
    assert "Traceback" not in command.create_parser("manage.py", name).format_help()
