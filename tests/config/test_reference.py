"""The reference lists every key of the schema, with its type and default; no key is missing or made up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import inspect

from tests.shared_data import ROOT
from tidyllm.config import Settings
from tidyllm.config.check import words
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.provider import KINDS

REFERENCE = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-zA-Z_.]+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


def keys(wanted: inspect.Type, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, type and default of every key below."""
    assert isinstance(wanted, inspect.StructType)
    for field in wanted.fields:
        at = f"{path}.{field.encode_name}".removeprefix(".")
        inner = field.type
        if isinstance(inner, inspect.UnionType):  # nothing, or something
            inner = next(one for one in inner.types if not isinstance(one, inspect.NoneType))
        if isinstance(inner, inspect.DictType) and isinstance(inner.value_type, inspect.StructType):
            yield from keys(inner.value_type, f"{at}.NAME")
        elif isinstance(inner, inspect.DictType):
            deeper = isinstance(inner.value_type, inspect.DictType)
            yield f"{at}.NAME" if deeper else at, words(inner), "nothing"
        elif isinstance(inner, inspect.StructType):
            yield from keys(inner, at)
        else:
            yield at, words(field.type), "required" if field.required else shown(field.default)


def shown(value: object) -> str:
    if value is None:
        return "nothing"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def test_every_key_is_listed_with_its_type_and_default() -> None:
    listed = [(path, kind, default) for path, kind, default in ROW.findall(REFERENCE)]
    assert sorted(listed) == sorted(keys(inspect.type_info(Settings)))
    assert len(listed) > 30


def test_every_fact_of_a_model_is_listed() -> None:
    [row] = [line for line in REFERENCE.splitlines() if line.startswith("| `catalog.NAME`")]
    facts = set(ModelInfo.__struct_fields__) - {"name"}
    assert facts | {"like"} == set(re.findall(r"`([a-z_]+)`", row))


def test_every_kind_is_listed() -> None:
    page = (ROOT / "docs/concepts/models.md").read_text("utf-8")
    table = page.partition("| kind |")[2].partition("\n\n")[0]
    assert set(KINDS) <= set(re.findall(r"`([a-z-]+)`", table))
