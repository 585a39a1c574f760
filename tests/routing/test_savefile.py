"""A learned policy as a file: it comes back as it was, people can read it, and a damaged one is refused."""

from __future__ import annotations

import base64
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.routing.prompts import EASY, HARD, policy
from tidyllm.errors import ConfigError
from tidyllm.routing import LearnedPolicy


def test_a_policy_comes_back_from_its_file(tmp_path: Path) -> None:
    policy().save(tmp_path / "p.json")
    loaded = LearnedPolicy.load(tmp_path / "p.json")
    assert loaded.facts == policy().facts
    for prompt in (HARD, EASY, "something else altogether"):
        one, other = policy().predict(prompt), loaded.predict(prompt)
        assert one.route == other.route
        assert one.quality["fast"] == pytest.approx(other.quality["fast"], abs=0.02)


def test_its_file_is_text_for_people(tmp_path: Path) -> None:
    policy().save(tmp_path / "p.json")
    read = msgspec.json.decode((tmp_path / "p.json").read_bytes())
    assert read["facts"]["routes"] == ["fast", "premium"]
    assert read["facts"]["safe"] == "premium"
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def _changed(data: bytes, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(data), **changes})


_NOTHING = base64.b64encode(zlib.compress(b"")).decode()
_BOMB = base64.b64encode(zlib.compress(bytes(70 << 20), 1)).decode()


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "other", "newer", "shapes", "trees", "landmarks", "bomb", "bytes", "field"]
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "p.json"
    policy().save(path)
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[: len(data) // 2],
            "empty": b"",
            "other": b'{"a": 1}',
            "newer": _changed(data, version=99),
            "shapes": _changed(data, look_mean=[1.0]),
            "trees": _changed(data, forest={**msgspec.json.decode(data)["forest"], "roots": [10**10]}),
            "landmarks": _changed(
                data, kernel={**msgspec.json.decode(data)["kernel"], "weights_float32": _NOTHING}
            ),
            "bomb": _changed(data, forest={**msgspec.json.decode(data)["forest"], "cut_float32": _BOMB}),
            "bytes": data.replace(b'"data": "', b'"data": "!!!'),
            "field": _changed(data, surprise=1),
        }[damage]
    )
    with pytest.raises(
        ConfigError, match=r"p\.json: is (damaged|not a routing policy|a policy of version 99)"
    ):
        LearnedPolicy.load(path)


def _with(part: dict[str, Any] | list[Any], *path: str | int, value: Any) -> Any:
    """The same with another value at `path`."""
    first, *rest = path
    changed: Any = dict(part) if isinstance(part, dict) else list(part)
    changed[first] = _with(changed[first], *rest, value=value) if rest else value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("look_spread", 0), 0.0),
        (("look_spread", 3), 1e39),
        (("look_mean", 0), 1e39),
        (("offset", 0), -1e39),
        (("shapes", 0, 0), 1e39),
        (("words", 0, "scale", 0), 1e39),
        (("words", 1, "scale", 0), -1.0),
        (("rare", 0, "scale", 0), 1e39),
        (("facts", "costs_usd"), [0.0, 0.0]),
        (("facts", "costs_usd"), [-1.0, 1.0]),
        (("facts", "singles"), [0.5, 2.0]),
        (("facts", "slope"), [1e39, 1.0]),
        (("facts", "curve", 0, "shares"), []),
        (("facts", "hindsight", 0, "shares"), [1.0]),
        (("kernel", "mean"), [0.5]),
        (("words",), []),
        (("rare", 1, "rows"), 5),
    ],
)
def test_a_number_that_no_learning_gives_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: Any
) -> None:
    file = tmp_path / "p.json"
    policy().save(file)
    whole = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode(_with(whole, *path, value=value)))
    with pytest.raises(ConfigError, match=r"p\.json: is damaged"):
        LearnedPolicy.load(file)


def test_a_file_of_brackets_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    policy().save(file)
    file.write_bytes(file.read_bytes().rstrip()[:-1] + b', "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    with pytest.raises(ConfigError, match="is damaged"):
        LearnedPolicy.load(file)


def test_small_text_that_stands_for_much_memory_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    policy().save(file)
    whole = msgspec.json.decode(file.read_bytes())
    large = base64.b64encode(zlib.compress(bytes(16 << 20), 9)).decode()
    part = {"rows": 1 << 14, "scale": [1.0] * 1024, "data": large}
    file.write_bytes(msgspec.json.encode({**whole, "words": [part] * 8}))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="its parts do not fit together"):
            LearnedPolicy.load(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        LearnedPolicy.load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be written"):
        policy().save(tmp_path / "no" / "p.json")


def test_a_policy_of_the_former_version_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    policy().save(path)
    path.write_bytes(_changed(path.read_bytes(), version=3))
    with pytest.raises(ConfigError, match="version 3; this program reads version 4") as refused:
        LearnedPolicy.load(path)
    assert "Train it again" in str(refused.value)
