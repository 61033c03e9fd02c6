import pytest

from rbr_app.local.commands import services_of


@pytest.mark.parametrize(
    "line",
    ["", "help migrate", "check --deploy", "makemigrations --check", "run_grader --help", "-h"],
)
def test_a_command_that_reads_no_row_starts_nothing(line: str) -> None:
    assert services_of(line.split()) == ()


@pytest.mark.parametrize("line", ["migrate", "shell", "report 1", "run_grader --set a", "dbshell"])
def test_every_other_command_gets_the_database(line: str) -> None:
    assert services_of(line.split()) == ("postgres",)
