"""The user's own check: no new failure, or everything is taken back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tidyllm.migrate import MigrateError, apply, plan

OLD = "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper\n\nwrapper = DSPyEnhancedWrapper()\n"
PYTEST = f"env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q"


def make(folder: Path, test: str) -> Path:
    (folder / "app_code.py").write_text(OLD)
    (folder / "test_it.py").write_text(test)
    return folder


def test_a_new_failure_takes_all_back(tmp_path: Path) -> None:
    """The test that fails now is named; one that failed before does not count."""
    make(
        tmp_path,
        "from pathlib import Path\ndef test_new(): assert 'Enhanced' in Path('app_code.py').read_text()\n"
        "def test_old(): assert 0\n",
    )
    done = apply(plan(tmp_path), PYTEST)
    assert done.failures == ("test_it.py::test_new fails now",)
    assert (tmp_path / "app_code.py").read_text() == OLD


def test_an_old_failure_is_no_new_one(tmp_path: Path) -> None:
    make(tmp_path, "def test_old(): assert 0\n")
    done = apply(plan(tmp_path), PYTEST)
    assert not done.failures
    assert "Unified" in (tmp_path / "app_code.py").read_text()


def test_another_command_is_judged_by_its_status(tmp_path: Path) -> None:
    make(tmp_path, "")
    done = apply(plan(tmp_path), "grep -q DSPyEnhancedWrapper app_code.py")
    assert done.failures == ("the check ended with status 1, and with 0 before",)
    assert (tmp_path / "app_code.py").read_text() == OLD


@pytest.mark.parametrize(
    ("command", "said"),
    [("no-such-program x", "there is no program"), ("grep 'x", "cannot be read"), ("  ", "is empty")],
)
def test_a_check_that_cannot_be_run(tmp_path: Path, command: str, said: str) -> None:
    """Nothing is changed."""
    make(tmp_path, "")
    with pytest.raises(MigrateError, match=said):
        apply(plan(tmp_path), command)
    assert (tmp_path / "app_code.py").read_text() == OLD


def test_no_shell_reads_it(tmp_path: Path) -> None:
    make(tmp_path, "")
    apply(plan(tmp_path), "echo x > there")
    assert not (tmp_path / "there").exists()


def test_a_check_that_does_not_end(tmp_path: Path) -> None:
    """After the change it hangs: everything is taken back."""
    make(tmp_path, "")
    (tmp_path / "wait.py").write_text(
        "import time\nif 'Unified' in open('app_code.py').read(): time.sleep(600)\n"
    )
    with pytest.raises(MigrateError, match="did not end within 3 s"):
        apply(plan(tmp_path), f"{sys.executable} wait.py", timeout=3)
    assert (tmp_path / "app_code.py").read_text() == OLD
