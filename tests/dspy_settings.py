"""What holds for tests of DSPy programs: its settings as new for each, its cache nowhere, its price list from disk.

DSPy and what it brings along warn of what their next versions will change; those warnings are theirs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

# Read when DSPy is imported, so they stand before everything else here.
os.environ["DSPY_CACHEDIR"] = str(Path(tempfile.gettempdir()) / "tidyllm-dspy-cache")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

_OF_DSPY = (
    # Its adapters still hand message dictionaries to `BaseLM`; it says so to whoever imports it in a certain order.
    "ignore::DeprecationWarning:dspy.*",
    "ignore::UserWarning:dspy.*",
    # Signatures are pydantic models made on the fly.
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore:Pydantic serializer warnings:UserWarning",
)


def allow_warnings(items: list[pytest.Item], folder: Path) -> None:
    """Let DSPy's own warnings pass in the tests of a folder."""
    for item in items:
        if folder in item.path.parents:
            for line in _OF_DSPY:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(autouse=True)
def new_settings() -> Iterator[None]:
    """Whatever a test configures is gone after it."""
    held: Any = import_module("dspy.dsp.utils.settings")
    before = dict(held.main_thread_config)
    yield
    held.main_thread_config.clear()
    held.main_thread_config.update(before)
    held.config_owner_thread_id = None
    held.config_owner_async_task = None
