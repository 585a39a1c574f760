"""`tidyllm migrate`: what the commands print, and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tidyllm.cli.migrate import app

IMPORT = "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper\n\n"
OLD = IMPORT + "a = DSPyEnhancedWrapper()\nb = DSPyEnhancedWrapper(**x)\n"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text(OLD)
    (tmp_path / "plain.py").write_text("x = 1\n")
    return tmp_path


def test_plan_is_the_default(repo: Path) -> None:
    """The diff, then what was changed, what could not and why; nothing is written."""
    done = run(repo)
    assert done.exit_code == 0
    assert done.stdout == run("plan", repo).stdout
    assert "+a = UnifiedDSPyWrapper()\n" in done.stdout
    assert (
        "could not: a.py:4: DSPyEnhancedWrapper [dspy_enhanced]: its arguments come from **x." in done.stdout
    )
    assert "2 files: 1 changed, 1 unchanged, 0 left out. 1 use converted, 1 could not." in done.stdout
    assert (repo / "a.py").read_text() == OLD


def test_json(repo: Path) -> None:
    found = json.loads(run("plan", repo, "--json").stdout)
    assert [one["path"] for one in found["changed"]] == ["a.py"]
    assert found["could_not"][0]["line"] == 4
    assert found["changed"][0]["diff"].startswith("--- a/a.py\n+++ b/a.py\n")


def test_scan(repo: Path) -> None:
    said = run("scan", repo).stdout
    assert "a.py:3: DSPyEnhancedWrapper [dspy_enhanced] can be converted\n" in said
    assert (
        "a.py:4: DSPyEnhancedWrapper [dspy_enhanced] cannot be converted (its arguments come from **x)\n"
        in said
    )


def test_apply_validate_rollback(repo: Path) -> None:
    assert "Applied to 1 file" in run("apply", repo).stdout
    assert run("validate", repo).exit_code == 1
    assert "Nothing was to be done." in run("apply", repo).stdout
    assert "is taken back: 1 file as before." in run("rollback", repo).stdout
    assert (repo / "a.py").read_text() == OLD
    again = run("rollback", repo)
    assert (again.exit_code, "no run to take back" in again.stderr) == (1, True)


def test_a_check_that_fails(repo: Path) -> None:
    done = run("apply", repo, "--check", "grep -q tidyllm.dspy_enhanced..import.DSPyEnhancedWrapper.$ a.py")
    assert done.exit_code == 0  # it failed before as well
    run("rollback", repo)
    done = run("apply", repo, "--check", "grep -q ^a.=.DSPyEnhancedWrapper a.py")
    assert done.exit_code == 1
    assert "every file is as before" in done.stderr
    assert (repo / "a.py").read_text() == OLD


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["plan", "/no/such/place"], 1, "there is no file or folder"),
        (["plan", ".", "--pattern", "tenacty"], 2, "Did you mean 'tenacity'?"),
        (["plan", ".", "--rules", "/no/such/file"], 2, "cannot be read"),
        (["rollback", "/no/such/place"], 1, "there is no file or folder"),
        (["aply", "."], 2, "Did you mean 'apply'?"),
        (["apply", ""], 2, "An empty text is no path"),
    ],
)
def test_bad_input(words: list[str], status: int, said: str) -> None:
    done = run(*words)
    assert done.exit_code == status
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_cleanup(repo: Path) -> None:
    """Only the names of the migration period; written when asked to."""
    (repo / "b.py").write_text(
        "from tidyllm.legacy.dspy_enhanced import DSPyEnhancedWrapper\n\nw = DSPyEnhancedWrapper()\n"
    )
    assert "tidyllm.legacy is not needed any more." in run("cleanup", repo, "--write").stdout
    assert "UnifiedDSPyWrapper()" in (repo / "b.py").read_text()
    assert (repo / "a.py").read_text() == OLD


def test_report(repo: Path) -> None:
    (repo / "r.py").write_text(
        "from tta_dev_primitives import RetryPrimitive, RetryStrategy\n\n"
        "w = RetryPrimitive(fetch, RetryStrategy(max_retries=2))\n"
    )
    found = json.loads(run("report", repo, "--json").stdout)
    assert found["call_sites"] == {"before": 3, "after": 1}
    assert found["attempts_at_worst"] == {"before": 9, "after": 3}
    assert float(found["retries"]["usd_at_worst_before"]) == pytest.approx(
        9 * float(found["retries"]["usd_per_attempt"])
    )
    assert found["benchmark"]["new_us"] > 0
    said = run("report", repo, "--no-bench", "--model", "openai/nothing").stdout
    assert "the price of openai/nothing is not known" in said


def test_an_interrupted_run_is_put_in_order_first(repo: Path) -> None:
    from tidyllm.migrate.journal import Change, Journal

    journal = Journal(repo)
    with journal.locked(make=True):
        journal.begin([Change("a.py", OLD.encode(), b"x = 1\n")]).replace()
    done = run("scan", repo)
    assert "was undone: all 1 files are as before" in done.stderr
    assert (repo / "a.py").read_text() == OLD
