"""A whole repository: migrated, checked by its own tests, and taken back to the byte."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.migrate.repository import build
from tests.migrate.test_journal import tree
from tidyllm.migrate import apply, plan, rollback, validate


def test_from_one_end_to_the_other(tmp_path: Path) -> None:
    """About forty files. The repository's own tests pass before and after."""
    repo, old = build(tmp_path)
    before = tree(repo)
    assert len(before) >= 40

    ready = plan(repo, processes=1)
    done = apply(
        ready,
        f"env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH={repo}:{old} {sys.executable} -B -m pytest -q tests",
    )
    assert done.before is not None
    assert done.before.exit_code == 0, done.before.tail
    assert done.failures == (), done.after
    assert {one.path for one in ready.problems} == {"pipelines/python2.py"}

    after = tree(repo)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {one.path for one in ready.changed}
    assert {name for name in changed if name.startswith("pipelines/")} == {
        f"pipelines/part{n}.py" for n in range(9)
    }
    assert not any(name.startswith(("plain/", "scratch/", "tests/")) for name in changed)
    assert b"\r\n" in after["pipelines/part1.py"][0]
    assert "load" in after["asking/ask2.py"][0].decode()

    again = plan(repo, processes=1)
    assert not again.changed
    left = [flaw for flaw in validate(repo, again) if flaw.kind in {"legacy", "syntax"}]
    assert [flaw.path for flaw in left] == ["pipelines/python2.py"]

    rollback(repo)
    assert tree(repo) == before


def test_two_processes_say_the_same_as_one(tmp_path: Path) -> None:
    repo, _ = build(tmp_path)
    told: list[tuple[int, int]] = []
    two = plan(repo, processes=2, progress=lambda done, total: told.append((done, total)))
    assert two.results == plan(repo, processes=1).results
    assert told[-1][0] == told[-1][1]
