"""What holds for tests of DSPy programs: see `tests/dspy_settings.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dspy_settings import allow_warnings, new_settings

__all__ = ["new_settings"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    allow_warnings(items, Path(__file__).parent)
