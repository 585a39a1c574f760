"""A repository of about forty files in all the shapes that legacy code comes in, with tests of its own.

Its tests run before and after the migration: `compat.py` takes whichever library is there, and counts.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["build"]

# The old libraries, as far as the repository uses them; they are found beside it, not in it.
STUBS = {
    "tta_dev_primitives/__init__.py": """
import asyncio

class WorkflowContext:
    def __init__(self, workflow_id=None, session_id=None):
        self.workflow_id, self.session_id = workflow_id, session_id

class WorkflowPrimitive:
    def __class_getitem__(cls, item):
        return cls
    def __rshift__(self, other):
        return SequentialPrimitive([self, other])

class LambdaPrimitive(WorkflowPrimitive):
    def __init__(self, func):
        self.func = func
    async def execute(self, x, ctx):
        made = self.func(x, ctx)
        return await made if asyncio.iscoroutine(made) else made

class SequentialPrimitive(WorkflowPrimitive):
    def __init__(self, primitives):
        self.primitives = primitives
    async def execute(self, x, ctx):
        for one in self.primitives:
            x = await one.execute(x, ctx)
        return x

class RetryStrategy:
    def __init__(self, max_retries=3, backoff_base=2.0, max_backoff=60.0, jitter=True):
        self.max_retries, self.backoff_base, self.max_backoff = max_retries, backoff_base, max_backoff

class RetryPrimitive(WorkflowPrimitive):
    def __init__(self, primitive, strategy=None):
        self.primitive, self.strategy = primitive, strategy or RetryStrategy()
    async def execute(self, x, ctx):
        for attempt in range(self.strategy.max_retries + 1):
            try:
                return await self.primitive.execute(x, ctx)
            except Exception:
                if attempt == self.strategy.max_retries:
                    raise
                await asyncio.sleep(min(self.strategy.backoff_base ** attempt, self.strategy.max_backoff))

class FallbackPrimitive(WorkflowPrimitive):
    def __init__(self, primary, fallback):
        self.primary, self.fallback = primary, fallback
    async def execute(self, x, ctx):
        try:
            return await self.primary.execute(x, ctx)
        except Exception:
            return await self.fallback.execute(x, ctx)

class TimeoutPrimitive(WorkflowPrimitive):
    def __init__(self, primitive, timeout_seconds):
        self.primitive, self.timeout_seconds = primitive, timeout_seconds
    async def execute(self, x, ctx):
        return await asyncio.wait_for(self.primitive.execute(x, ctx), self.timeout_seconds)

class RouterPrimitive(WorkflowPrimitive):
    def __init__(self, routes, router_fn, default=None):
        self.routes, self.router_fn, self.default = routes, router_fn, default
    async def execute(self, x, ctx):
        return await self.routes.get(self.router_fn(x, ctx), self.routes[self.default]).execute(x, ctx)

class CachePrimitive(WorkflowPrimitive):
    def __init__(self, primitive, cache_key_fn, ttl_seconds=3600.0):
        self.primitive, self.cache_key_fn, self.kept = primitive, cache_key_fn, {}
    async def execute(self, x, ctx):
        key = self.cache_key_fn(x, ctx)
        if key not in self.kept:
            self.kept[key] = await self.primitive.execute(x, ctx)
        return self.kept[key]
""",
    "tta_dev_primitives/recovery.py": "from tta_dev_primitives import *\n",
    "tenacity.py": """
def stop_after_attempt(n): return n
def wait_fixed(s): return s
def retry(stop, wait=0, reraise=False):
    def around(function):
        def call(*args, **kwargs):
            for attempt in range(stop):
                try:
                    return function(*args, **kwargs)
                except Exception:
                    if attempt == stop - 1:
                        raise
        return call
    return around
""",
}

PRIMITIVES = '''"""Part {n}."""
from tta_dev_primitives import LambdaPrimitive, WorkflowContext, WorkflowPrimitive
{recovery}

calls = []


class Shout(WorkflowPrimitive[str, str]):
    def __init__(self, times):
        self.times = times

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data.upper() + "!" * self.times + str(context.workflow_id)


async def flaky(x, ctx):
    calls.append(x)  # counts
    if len(calls) < 3:
        raise ValueError("not yet")
    return x


# three attempts, at once
workflow = RetryPrimitive(
    primitive=LambdaPrimitive(flaky),
    strategy=RetryStrategy(max_retries=2, max_backoff=0.0),
) >> TimeoutPrimitive(Shout({n}), timeout_seconds=5.0)
router = RouterPrimitive(
    routes={{"short": workflow, "long": workflow}},
    router_fn=lambda data, context: "short" if len(data) < 5 else "long",
    default="short",
)
cached = CachePrimitive(router, cache_key_fn=lambda data, ctx: data)
safe = FallbackPrimitive(primary=cached, fallback=Shout(1))


async def main(text):
    context = WorkflowContext(workflow_id="w{n}")
    first = await safe.execute(text, context)
    assert await safe.execute(text, context) == first
    return first, len(calls)
'''
RECOVERY = (
    """from tta_dev_primitives.recovery import RetryPrimitive, RetryStrategy, TimeoutPrimitive
from tta_dev_primitives import CachePrimitive, FallbackPrimitive, RouterPrimitive""",
    "from tta_dev_primitives.recovery import *",
    """try:
    from tta_dev_primitives.recovery import (
        CachePrimitive, FallbackPrimitive,
        RetryPrimitive, RetryStrategy, RouterPrimitive, TimeoutPrimitive,
    )
except ImportError:
    raise""",
)
TEST = """
import asyncio

from pipelines import part{n}


def test_part{n}():
    found, calls = asyncio.run(part{n}.main("abc"))
    assert found == "ABC" + "!" * {n} + "w{n}"
    assert calls == 3
"""
ASK = '''"""Asks, and tries again."""
from tenacity import retry, stop_after_attempt, wait_fixed


@retry(stop=stop_after_attempt({n}), wait=wait_fixed(0))
def ask(client, prompt, *, temperature=0):
    """Ask {n} times."""
    return client.chat.completions.create(prompt, temperature)


@retry(stop=stop_after_attempt(2))
def load(path):
    with open(path) as file:
        return file.read()
'''
TEST_ASK = """
import pytest

from asking import ask{n}


class Client:
    def __init__(self, failures):
        self.chat = self.completions = self
        self.left = failures

    def create(self, prompt, temperature):
        self.left -= 1
        if self.left >= 0:
            raise ValueError("no")
        assert temperature == 0
        return prompt


def test_ask():
    assert ask{n}.ask(Client({n} - 1), "x") == "x"
    with pytest.raises(ValueError):
        ask{n}.ask(Client({n}), "x")
    assert "attempts" not in ask{n}.load(__file__[:-len(".py")].replace("tests/test_ask", "asking/ask") + ".py")[-120:]
"""
WRAPPER = """from tidyllm.dspy_enhanced import DSPyEnhancedWrapper, RetryConfig


def make(retries={n}):
    return DSPyEnhancedWrapper(retry_config=RetryConfig(max_retries=retries))
"""
PLAIN = '''"""dspy_enhanced and litellm are only talked about here."""
NAMES = {{"dspy_enhanced": {n}, "tenacity": "tta_dev_primitives"}}
'''


def build(folder: Path) -> tuple[Path, Path]:
    """Write the repository and the old libraries. Gives both folders."""
    old, repo = folder / "old", folder / "repo"
    files: dict[str, str] = {"conftest.py": "", ".gitignore": "scratch/\n"}
    for n in range(9):
        files[f"pipelines/part{n}.py"] = PRIMITIVES.format(n=n, recovery=RECOVERY[n % 3])
        files[f"tests/test_part{n}.py"] = TEST.format(n=n)
    for n in range(2, 6):
        files[f"asking/ask{n}.py"] = ASK.format(n=n)
        files[f"tests/test_ask{n}.py"] = TEST_ASK.format(n=n)
    for n in range(4):
        files[f"wrappers/wrapper{n}.py"] = WRAPPER.format(n=n)
        files[f"plain/plain{n}.py"] = PLAIN.format(n=n)
    files["wrappers/__init__.py"] = "from .wrapper0 import make\n"
    files["scratch/old.py"] = WRAPPER.format(n=9)
    files["pipelines/python2.py"] = "import tta_dev_primitives\nprint 'x'\n"
    for name, text in files.items():
        _write(repo / name, text.replace("\n", "\r\n") if name.endswith("part1.py") else text)
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["%pwd\n", "import litellm"]},
        {
            "cell_type": "code", "metadata": {}, "outputs": [],
            "source": "r = litellm.completion(model='gpt-4', messages=[])\nr.choices[0].message.content",
        },
    ]  # fmt: skip
    _write(repo / "notes.ipynb", json.dumps({"cells": cells, "nbformat": 4}, indent=2))
    (repo / "tests" / "latin.py").write_bytes(
        "# coding: latin-1\nimport tenacity\nname = 'Jörg'\n".encode("latin-1")
    )
    for name, text in STUBS.items():
        _write(old / name, text)
    return repo, old


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
