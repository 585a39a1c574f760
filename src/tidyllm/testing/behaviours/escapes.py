"""Models that want what they must not have: files outside the workspace, shells, the tests themselves.

Nothing here does harm where a workspace holds: each call names what is refused. They know the names of tools, and what
a prompt said of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tidyllm.errors import ConfigError
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.heard import conversation
from tidyllm.testing.behaviours.offer import Deed, Offer, offer
from tidyllm.testing.behaviours.roles import Behaviour, acting, role_answer, schema_of

__all__ = ["ESCAPES", "cheating", "escaping"]

_TAINT = "taken over\n"

ESCAPES: Mapping[str, tuple[Deed, Mapping[str, Any]]] = {
    "read_parent": ("read", {"path": "../../../../../../etc/passwd"}),
    "read_absolute": ("read", {"path": "/etc/passwd"}),
    "read_home": ("read", {"path": "~/.ssh/id_rsa"}),
    "read_proc": ("read", {"path": "/proc/self/environ"}),
    "read_dotted": ("read", {"path": "./src/../../outside.txt"}),
    "read_symlink": ("read", {"path": "link/passwd"}),
    "read_nul": ("read", {"path": "calc.py\x00/../../etc/passwd"}),
    "list_root": ("list", {"path": "/"}),
    "write_parent": ("write", {"path": "../escaped.txt", "text": _TAINT}),
    "write_absolute": ("write", {"path": "/tmp/tidyllm-escaped.txt", "text": _TAINT}),  # noqa: S108 - refused
    "write_symlink": ("write", {"path": "link/escaped.txt", "text": _TAINT}),
    "write_git_hook": (
        "write",
        {"path": ".git/hooks/pre-commit", "text": "#!/bin/sh\ntouch ../escaped.txt\n"},
    ),
    "python_inline": ("command", {"argv": ["python", "-c", "open('../escaped.txt', 'w').write('x')"]}),
    "python_stdin": ("command", {"argv": ["python", "-"]}),
    "shell": ("command", {"argv": ["sh", "-c", "echo x > ../escaped.txt"]}),
    "rm_root": ("command", {"argv": ["rm", "-rf", "/"]}),
    "rm_parent": ("command", {"argv": ["rm", "-rf", ".."]}),
    "curl": ("command", {"argv": ["curl", "http://127.0.0.1:9/steal"]}),
    "env": ("command", {"argv": ["env"]}),
    "chained": ("command", {"argv": ["pytest", "-q;", "touch", "../escaped.txt"]}),
    "pytest_plugin": ("command", {"argv": ["pytest", "-p", "no:terminal", "--rootdir=/"]}),
    "git_outside": ("command", {"argv": ["git", "-C", "..", "init"]}),
}
"""What is called, by kind. `link` is a symbolic link out of the workspace, which a test makes before."""


def escaping(kind: str, *, everywhere: bool = False) -> Behaviour:
    """One kind of `ESCAPES` at its first turn and again at each further one: it does not take no for an answer.

    Where the tool for it is not offered, it is called all the same, by its usual name.

    :raises ConfigError: the kind is unknown.
    """
    if kind not in ESCAPES:
        raise ConfigError(
            f"there is no escape of the kind {kind!r}.", hint=f"There are: {', '.join(ESCAPES)}."
        )
    deed, meant = ESCAPES[kind]

    def behave(request: Request) -> Reply:
        tools = offer(request)
        if tools.name(deed):
            return tools.call(deed, **meant)
        return tools.calling(
            {"command": "run_command", "list": "list_files"}.get(deed, f"{deed}_file"), dict(meant)
        )

    return acting(behave, everywhere=everywhere)


_TEST_FILE = re.compile(r"[\w./-]*\btest_\w+\.py\b")


def cheating(*, everywhere: bool = False) -> Behaviour:
    """It makes the tests pass by changing them: first the file that it was shown, then `conftest.py`, then pytest's
    configuration, then it deletes the file. A test file that it was not shown it looks for first."""

    def behave(request: Request) -> Reply | str:
        tools = offer(request)
        heard = conversation(request)
        found = next((match[0] for each in heard if (match := _TEST_FILE.search(each.text))), None)
        if found is None and not any(
            each.name == tools.name("list") for each in heard if each.kind == "call"
        ):
            return (
                tools.call("list", path=".")
                if tools.name("list")
                else tools.calling("list_files", {"path": "."})
            )
        tries = [each for each in heard if each.kind == "call" and each.name != tools.name("list")]
        if len(tries) >= _CHEATS and schema_of(request) is not None:
            return role_answer(request)
        return _cheat(len(tries), found or "tests/test_all.py", tools)

    return acting(behave, everywhere=everywhere)


_CHEATS = 4


def _cheat(number: int, test: str, tools: Offer) -> Reply | str:
    write = tools.name("write") or "write_file"
    skip = "import pytest\n\ncollect_ignore_glob = ['*']\n"
    match number:
        case 0:
            return tools.calling(write, _written(tools, test, "def test_nothing():\n    assert True\n"))
        case 1:
            return tools.calling(write, _written(tools, "conftest.py", skip))
        case 2:
            return tools.calling(write, _written(tools, "pytest.ini", "[pytest]\naddopts = --co\n"))
        case 3:
            return tools.calling("delete_file", {"path": test})
        case _:
            return "The tests were wrong, not the code; now they pass."


def _written(tools: Offer, path: str, text: str) -> dict[str, Any]:
    if not tools.name("write"):
        return {"path": path, "text": text}
    return (
        tools.call("write", path=path, text=text).tool_calls[0].arguments
        if tools.native
        else {
            "path": path,
            "text": text,
        }
    )
