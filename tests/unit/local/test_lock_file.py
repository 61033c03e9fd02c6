from pathlib import Path

import pytest

from rbr_app.local import paths
from rbr_app.local.lock_file import (
    Pin,
    digest,
    forget_half_installed,
    installed,
    missing,
    sections,
)

LOCK = """# a lock
# [app] the site
amqp==5.4.2
torch==2.13.0+cpu  # a build

# [model] the grader
typing-extensions==4.16.0
"""


def put(site: Path, name: str, *, complete: bool = True) -> Path:
    directory = site / f"{name}.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").touch()
    if complete:
        (directory / "RECORD").touch()
    return directory


def test_a_section_holds_the_pins_below_its_line() -> None:
    assert sections(LOCK) == {
        "app": (Pin("amqp", "5.4.2"), Pin("torch", "2.13.0+cpu")),
        "model": (Pin("typing-extensions", "4.16.0"),),
    }


@pytest.mark.parametrize("line", ["# [app]\namqp>=5", "amqp==5.4.2", "# [app]\namqp"])
def test_what_is_not_an_exact_pin_in_a_section_is_named_by_its_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"requirements\.txt line \d"):
        sections(line)


def test_the_lock_of_this_project_has_the_three_sections_and_no_package_twice() -> None:
    found = sections((paths.PROJECT / "requirements.txt").read_text())
    assert list(found) == ["app", "model", "test"]
    names = [pin.name for pins in found.values() for pin in pins]
    assert len(names) == len(set(names))


def test_a_comment_does_not_change_a_sections_fingerprint_and_a_version_does() -> None:
    app = sections(LOCK)["app"]
    assert digest(sections(LOCK.replace("# a build", "# the build"))["app"]) == digest(app)
    assert digest(sections(LOCK.replace("5.4.2", "5.4.3"))["app"]) != digest(app)


def test_missing_are_the_absent_the_outdated_and_the_half_installed(tmp_path: Path) -> None:
    put(tmp_path, "typing_extensions-4.16.0")
    put(tmp_path, "amqp-5.4.1")
    put(tmp_path, "torch-2.13.0+cpu", complete=False)
    pins = tuple(pin for section in sections(LOCK).values() for pin in section)
    assert [pin.name for pin in missing(pins, tmp_path)] == ["amqp", "torch"]
    assert missing(pins, tmp_path / "not made yet") == list(pins)


def test_an_installation_cut_off_is_forgotten_and_a_complete_one_kept(tmp_path: Path) -> None:
    half = put(tmp_path, "torch-2.13.0+cpu", complete=False)
    whole = put(tmp_path, "amqp-5.4.2")
    (tmp_path / "~mqp").mkdir()
    forget_half_installed(tmp_path)
    assert not half.exists()
    assert whole.exists()
    assert installed(tmp_path) == {"amqp": "5.4.2"}
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]
