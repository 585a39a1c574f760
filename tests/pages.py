"""Pages of the documentation whose blocks can be run. It knows Markdown fences and the comments before them.

The comments are listed in CONTRIBUTING.md. It knows nothing of what the examples are about.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
import types
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Block", "PageError", "blocks", "run_page"]

DEFAULT_PORT = "8400"
KEY = "tidyllm-key-of-the-documentation-tests"
START_SECONDS = 20.0
COMMAND_SECONDS = 40.0

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"^[ \t]*<!--\s*test:\s*(?P<word>[a-z]+):?\s*(?P<rest>.*?)\s*-->[ \t]*$", re.MULTILINE)
_WORDS = {"skip": True, "file": True, "run": False, "serve": False, "config": False}  # True: needs a text


class PageError(Exception):
    """A page cannot be read, or one of its blocks does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block: `line` is that of its first line of text, `tests` are the comments before it."""

    line: int
    language: str
    text: str
    tests: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def runs(self) -> bool:
        """Whether the page promises that this block works."""
        return bool(self.tests) or self.language == "python"


def blocks(text: str, name: str = "page") -> list[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        PageError: a comment has an unknown word, lacks its reason or name, or no block follows it.
    """
    found: list[Block] = []
    claimed = 0
    for fence in _FENCE.finditer(text):
        tests: dict[str, str] = {}
        above = text[: fence.start()]
        while comment := _last_comment(above):
            tests[comment["word"]] = comment["rest"]
            above = above[: comment.start()]
        claimed += len(tests)
        line = text.count("\n", 0, fence.start("body")) + 1
        for word, rest in tests.items():
            if word not in _WORDS:
                raise PageError(f"{name}:{line}: 'test: {word}' is unknown; one of {', '.join(_WORDS)}")
            if _WORDS[word] and not rest:
                raise PageError(f"{name}:{line}: 'test: {word}' needs a text, as in 'test: {word}: TEXT'")
        language = (fence["info"].split() or [""])[0]
        found.append(Block(line, language, textwrap.dedent(fence["body"]), tests))
    if claimed != len(_COMMENT.findall(_FENCE.sub("", text))):
        raise PageError(f"{name}: a 'test:' comment is not followed by a block")
    return found


def _last_comment(above: str) -> re.Match[str] | None:
    """The comment that ends the text `above` a block, if one does."""
    end = above.rstrip()
    return _COMMENT.match(end, end.rfind("\n") + 1)


def run_page(path: Path, name: str, folder: Path) -> None:
    """Run the blocks of a page in order: one namespace, one working directory `folder`, one event loop.

    Raises:
        PageError: a command failed; its output is in the message.
        Exception: whatever a python block raised, with the page's own lines in the traceback.
    """
    port = _free_port()
    text = re.sub(rf"\b{DEFAULT_PORT}\b", port, path.read_text("utf-8"))
    module = types.ModuleType(f"example_{re.sub(r'[^a-z0-9]', '_', name.lower())}")
    environment = os.environ | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "TIDYLLM_MASTER_KEY": KEY,
    }
    with (
        _surroundings(module, folder, environment),
        asyncio.Runner() as runner,
        contextlib.ExitStack() as ends,
    ):
        for block in blocks(text, name):
            where = f"{name}:{block.line}"
            if "skip" in block.tests:
                continue
            if "file" in block.tests:
                target = folder / block.tests["file"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, "utf-8")
            if "config" in block.tests:
                _check(block, folder, where)
            if "serve" in block.tests:
                ends.enter_context(_served(block, folder, port, where))
            if "run" in block.tests:
                _command(["bash", "-euo", "pipefail", "-c", block.text.strip()], folder, where)
            if block.language == "python" and not block.tests:
                _python(block, path, module, runner)


@contextlib.contextmanager
def _surroundings(module: types.ModuleType, folder: Path, environment: dict[str, str]) -> Generator[None]:
    """The process as the page's reader has it; put back afterwards."""
    before = dict(os.environ)
    sys.modules[module.__name__] = module  # dataclasses and msgspec look names up in their class's module
    os.environ.update(environment)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        del sys.modules[module.__name__]


def _python(block: Block, path: Path, module: types.ModuleType, runner: asyncio.Runner) -> None:
    # Blank lines in front make the traceback's line numbers those of the page.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        runner.run(types.FunctionType(code, module.__dict__)())
    else:
        exec(
            code, module.__dict__
        )  # outside the loop, so that an example may use `run_sync` or `asyncio.run`


def _check(block: Block, folder: Path, where: str) -> None:
    target = folder / block.tests.get("file", f"block-{block.line}.yaml")
    target.write_text(block.text, "utf-8")
    for variable in re.findall(r"\benv:(\w+)", block.text):
        os.environ.setdefault(variable, "placeholder")
    _command(["tidyllm", "check", str(target)], folder, where)


def _command(command: list[str], folder: Path, where: str) -> None:
    ran = subprocess.run(
        command,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    if ran.returncode:
        raise PageError(f"{where}: {shlex.join(command)} ended with {ran.returncode}:\n{ran.stdout}")


@contextlib.contextmanager
def _served(block: Block, folder: Path, port: str, where: str) -> Generator[None]:
    """The gateway that the block starts, listening on `port`; ended at the end of the page."""
    command = shlex.split(block.text, comments=True)
    if "--port" not in command:
        command += ["--port", port]
    log = folder / f"serve-{block.line}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        ends = time.monotonic() + START_SECONDS
        while not _listens(int(port)):
            if process.poll() is not None or time.monotonic() > ends:
                raise PageError(f"{where}: {shlex.join(command)} does not listen:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
