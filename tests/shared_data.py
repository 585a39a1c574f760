"""The door to recorded data, which lies beside the project. Knows where it is, not what it means.

from tests.shared_data import exchanges, shared

lines = shared("wire/openai_chat.jsonl.gz")
for exchange in exchanges("openai_chat"): ...
"""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

__all__ = ["ROOT", "exchanges", "shared"]

ROOT = Path(__file__).resolve().parent.parent
"""The project's root folder."""

_Lines = msgspec.json.Decoder(dict[str, Any])


def shared(relative: str) -> Path:
    """The file or folder `relative` in the folder `shared` beside the project.

    Where it is absent a user's clone skips the test and says why; CI, which must have it, fails.
    """
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        reason = f"recorded data is not beside this clone: {path} does not exist"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; CI must provide it")
        pytest.skip(reason)
    return path


@cache
def _read(path: Path) -> list[dict[str, Any]]:
    return [_Lines.decode(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line.strip()]


def exchanges(kind: str) -> list[dict[str, Any]]:
    """All recorded exchanges of one kind (`openai_chat`, `anthropic_messages`...), in their file's order.

    Each is a dict with `kind`, `host`, `path`, `source`, `request`, `status`, `headers`, and the answer as
    `body_json`, `body` or `body_b64`. They are read once per process and shared: do not change them.
    """
    return _read(shared(f"wire/{kind}.jsonl.gz"))
