"""Planning for a tree: which files, which encodings, and what files say about each other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tidyllm.migrate import MigrateError, Plan, RulesError, apply, plan, validate

IMPORT = "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper\n"
OLD = IMPORT + "wrapper = DSPyEnhancedWrapper()\n"
NEW = "from tidyllm.dspy import UnifiedDSPyWrapper\nwrapper = UnifiedDSPyWrapper()\n"


def make(folder: Path, files: dict[str, str | bytes]) -> Plan:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return plan(folder, processes=1)


def after(made: Plan) -> dict[str, str]:
    return {one.path: one.after.decode("utf-8", "replace") for one in made.changed if one.after is not None}


def test_what_is_left_out(tmp_path: Path) -> None:
    """Virtual environments, ignored files and links are not looked at."""
    outside = tmp_path / "outside.py"
    outside.write_text(OLD)
    root = tmp_path / "repo"
    names = "app.py .venv/lib/x.py env2/bin/y.py ignored.py deep/out/z.py deep/kept.py node_modules/n.py notes.txt"
    files = dict.fromkeys(names.split(), OLD)
    made = make(root, {**files, "env2/pyvenv.cfg": "", ".gitignore": "ignored.py\nout/\n*.log\n!kept.py\n"})
    (root / "link.py").symlink_to(outside)
    assert set(after(made)) == {"app.py", "deep/kept.py"}
    assert outside.read_text() == OLD


def test_a_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(OLD)
    apply(plan(path))
    assert path.read_text() == NEW


@pytest.mark.parametrize(
    ("head", "encoding", "ending"),
    [
        ("", "utf-8", "\r\n"),
        ("", "utf-8-sig", "\n"),
        ("# -*- coding: latin-1 -*-\n", "latin-1", "\n"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n", "cp1252", "\r\n"),
    ],
)
def test_encodings_and_line_ends(tmp_path: Path, head: str, encoding: str, ending: str) -> None:
    """A file keeps its encoding, its mark and its line ends."""
    text = head + "name = 'Müller'\n" + OLD
    path = tmp_path / "one.py"
    path.write_bytes(text.replace("\n", ending).encode(encoding))
    apply(plan(tmp_path))
    assert path.read_bytes() == (head + "name = 'Müller'\n" + NEW).replace("\n", ending).encode(encoding)


def test_files_that_cannot_be_converted(tmp_path: Path) -> None:
    """Each is named with its reason, and the others are converted."""
    made = make(
        tmp_path,
        {
            "broken.py": OLD + "def f(:\n",
            "python2.py": OLD + "print 'x'\n",
            "binary.py": b"\0\1" + OLD.encode(),
            "wrong.py": OLD.encode() + b"x = '\xff'\n",
            "unknown.py": b"# coding: nonsense\n" + OLD.encode(),
            "notebook.ipynb": "{not json dspy_enhanced",
            "good.py": OLD,
        },
    )
    assert {one.path: one.problem.split(":")[0] for one in made.problems} == {
        "binary.py": "it is a binary file",
        "broken.py": "it does not parse",
        "python2.py": "it does not parse",
        "wrong.py": "it is not utf-8",
        "unknown.py": "its encoding is unknown",
        "notebook.ipynb": "it is no notebook",
    }
    assert set(after(made)) == {"good.py"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_not_readable(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text(OLD)
    (tmp_path / "secret.py").chmod(0)
    assert "cannot be read" in plan(tmp_path).problems[0].problem


def test_a_path_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MigrateError, match="there is no file or folder"):
        plan(tmp_path / "nothing")


def test_names_that_a_package_passes_on(tmp_path: Path) -> None:
    """The package and those who import from it are converted together."""
    made = make(
        tmp_path,
        {
            "acme/__init__.py": "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper, RetryConfig\n",
            "acme/use.py": "from . import DSPyEnhancedWrapper\n\nw = DSPyEnhancedWrapper()\n",
            "main.py": "from acme import DSPyEnhancedWrapper as W, RetryConfig\n\nw = W(RetryConfig(2))\n",
        },
    )
    done = after(made)
    assert done["acme/__init__.py"] == "from tidyllm.dspy import RetryConfig, UnifiedDSPyWrapper\n"
    assert "from tidyllm.dspy import UnifiedDSPyWrapper\n" in done["acme/use.py"]
    assert "w = W(UnifiedConfig(retry=RetryConfig(max_retries=2)))" in done["main.py"]


def test_what_has_to_stay_in_one_file_stays_in_the_other(tmp_path: Path) -> None:
    """An object of the old class is not handed to code of the new one."""
    made = make(
        tmp_path,
        {
            "config.py": "from tidyllm.dspy_enhanced import RetryConfig\n\nRETRY = RetryConfig(strategy='odd')\n",
            "app.py": IMPORT + "from config import RETRY\n\nw = DSPyEnhancedWrapper(retry_config=RETRY)\n",
        },
    )
    assert after(made) == {}
    assert {path for path, _ in made.could_not} == {"config.py", "app.py"}


def test_a_module_of_the_tree_that_is_something_else(tmp_path: Path) -> None:
    """A class that the tree defines itself is legacy only when it can be called in the legacy way."""
    made = make(
        tmp_path,
        {
            "a/dspy_wrapper.py": "class DSPyWrapper:\n    def __init__(self, engine, tool): ...\n",
            "a/use.py": "from .dspy_wrapper import DSPyWrapper\n\nw = DSPyWrapper(engine=1, tool=2)\n",
            "b/dspy_enhanced.py": "class DSPyEnhancedWrapper:\n    def __init__(self, retry_config=None): ...\n",
            "b/use.py": "from b.dspy_enhanced import DSPyEnhancedWrapper\n\nw = DSPyEnhancedWrapper()\n",
        },
    )
    assert set(after(made)) == {"b/use.py"}
    assert made.defining == ("b/dspy_enhanced.py",)


def test_a_teams_own_names(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[dspy_enhanced]\nmodules = ["acme.llm"]\n'
        '[dspy_enhanced.names]\nAcmeWrapper = "DSPyEnhancedWrapper"\nAcmeRetry = "RetryConfig"\n'
        '[dspy_enhanced.arguments.RetryConfig]\ntries = "max_retries"\n'
    )
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "a.py").write_text(
        "from acme.llm import AcmeRetry, AcmeWrapper\n\nw = AcmeWrapper(retry_config=AcmeRetry(tries=2))\n"
    )
    done = after(plan(folder, rules=rules, processes=1))["a.py"]
    assert "w = UnifiedDSPyWrapper(UnifiedConfig(retry=RetryConfig(max_retries=2)))" in done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dspy_enhance]\n", r"unknown pattern 'dspy_enhance'\. Did you mean 'dspy_enhanced'\?"),
        ("[litellm]\nmodule = []\n", r"unknown key 'module'\. Did you mean 'modules'\?"),
        ("[litellm]\nmodules = 3\n", "modules is no list of texts"),
        ('[litellm.names]\nask = "completions"\n', r"no name 'completions'\. Did you mean 'completion'\?"),
        ('[dspy_enhanced.arguments.RetryConfig]\nn = "max_retry"\n', r"Did you mean 'max_retries'\?"),
        ('[dspy_enhanced.arguments.Retry]\nn = "max_retries"\n', r"Did you mean 'RetryConfig'\?"),
        ("[litellm\n", "are no TOML"),
        ("litellm = 3\n", "is no table"),
    ],
)
def test_rules_that_say_what_there_is_not(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesError, match=said):
        plan(tmp_path, rules=path)


def test_annotations(tmp_path: Path) -> None:
    """A comment stands above what could not be converted, once."""
    path = tmp_path / "a.py"
    path.write_text(IMPORT + "def f():\n    return DSPyEnhancedWrapper(\n        **settings\n    )\n")
    for _ in range(2):
        apply(plan(tmp_path, annotate=True))
        assert (
            path.read_text().count(
                "# tidyllm migrate: DSPyEnhancedWrapper: its arguments come from **settings"
            )
            == 1
        )
    assert path.read_text().splitlines()[2].startswith("    # tidyllm migrate:")


def cell(*lines: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "metadata": {},
        "outputs": [{"x": "ü"}],
        "source": list(lines),
        "execution_count": None,
    }


def test_notebooks(tmp_path: Path) -> None:
    """Cells are converted together; magics, outputs and all other bytes stay."""
    cells: list[dict[str, object]] = [
        {"cell_type": "markdown", "metadata": {}, "source": ["DSPyEnhancedWrapper\n"]},
        cell(
            "%load_ext x\n",
            "!pip install dspy\n",
            "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper\n",
            "x = 1",
        ),
        cell("%%bash\n", "echo dspy_enhanced"),
        cell("w = DSPyEnhancedWrapper()\n", "await w\n", "w?\n", "if x:\n", "    %time x"),
        {**cell(), "source": "text = 'one'"},
    ]
    raw = json.dumps({"cells": cells, "nbformat": 4, "metadata": {"a": 1.50}}, indent=1) + "\n"
    path = tmp_path / "book.ipynb"
    path.write_text(raw)
    made = plan(tmp_path)
    done = made.changed[0].after
    expected = raw.replace(
        "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper", "from tidyllm.dspy import UnifiedDSPyWrapper"
    )
    expected = expected.replace("w = DSPyEnhancedWrapper()", "w = UnifiedDSPyWrapper()")
    assert done is not None
    assert done.decode() == expected
    assert [(one.cell, one.line) for one in made.changed[0].findings] == [(4, 1)]


def test_validate(tmp_path: Path) -> None:
    """It tells what is wrong and writes nothing."""
    made = make(
        tmp_path,
        {
            "a.py": "import json.decoder\nfrom nowhere import x\nfrom tidyllm import Retri\nfrom tidyllm import Step\n",
            "b.py": OLD,
            "c.py": "def f(:\n",
            "d.py": "return 3\n",
            "e.py": "try:\n    import nowhere\nexcept ImportError:\n    pass\nfrom .a import x\nfrom .z import y\n",
        },
    )
    found = [(one.path, one.line, one.kind) for one in validate(tmp_path, made)]
    assert found == [
        ("a.py", 2, "import"), ("a.py", 3, "import"), ("b.py", 1, "import"), ("b.py", 2, "legacy"),
        ("c.py", 1, "syntax"), ("d.py", 1, "syntax"), ("e.py", 6, "import"),
    ]  # fmt: skip
    assert (tmp_path / "b.py").read_text() == OLD


def test_cleanup_touches_the_old_names_of_the_migration_period_only(tmp_path: Path) -> None:
    files = {
        "a.py": "from tidyllm.legacy.dspy_enhanced import DSPyEnhancedWrapper\n\nw = DSPyEnhancedWrapper()\n",
        "b.py": OLD,
    }
    make(tmp_path, dict(files))
    assert set(after(plan(tmp_path, only_legacy=True, processes=1))) == {"a.py"}


def test_names_that_tests_replace(tmp_path: Path) -> None:
    """`patch("module.Name")` goes on meaning the name in that module."""
    made = make(
        tmp_path,
        {
            "app/__init__.py": "from .core import DSPyEnhancedWrapper as Wrapper\n",
            "app/core.py": OLD,
            "test_app.py": "import app.core\nfrom mock import patch\n\n\ndef test(monkeypatch):\n"
            '    patch("app.core.DSPyEnhancedWrapper")\n    patch("app.Wrapper")\n'
            '    monkeypatch.setattr(app.core, "DSPyEnhancedWrapper", None)\n',
        },
    )
    done = after(made)["test_app.py"]
    assert 'patch("app.core.UnifiedDSPyWrapper")' in done
    assert 'patch("app.Wrapper")' in done
    assert 'setattr(app.core, "UnifiedDSPyWrapper", None)' in done


def test_a_router_that_other_files_use(tmp_path: Path) -> None:
    """What becomes something of another kind stays where another file uses it, and is listed."""
    router = 'Router([{"model_name": "a", "litellm_params": {"model": "gpt-4"}}])\n'
    made = make(
        tmp_path,
        {
            "app/llm.py": f"from litellm import Router\n\nrouter = {router}own = {router}",
            "app/use.py": "from .llm import router\n\nrouter.completion('a', [])\n",
        },
    )
    assert "\nown = {" in after(made)["app/llm.py"]
    assert f"\nrouter = {router}" in after(made)["app/llm.py"]
    assert [(one.line, one.reason) for _, one in made.could_not] == [(3, "other files use router from here")]


def test_files_that_are_generated(tmp_path: Path) -> None:
    """What is too large or too deep is left out, and said so; a form feed is no line end of the diff."""
    made = make(
        tmp_path,
        {
            "large.py": OLD + f"data = {'[0, 1, 2, 3],' * 50_000}\n",
            "deep.py": OLD + f"x = {'-' * 30_000}1\n",
            "feed.py": "\x0c\n" + OLD,
        },
    )
    assert {one.path for one in made.problems} == {"large.py", "deep.py"}
    assert "0.7 MB of code" in made.problems[1].problem
    assert "".join(made.diff(made.changed[0])).count("No newline") == 0
