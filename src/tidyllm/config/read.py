"""Reading `tidyllm.yaml` and its overlays: files in, settings out. It knows files and lines, not what settings mean."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from tidyllm.config.check import Problem, check
from tidyllm.config.schema import Settings
from tidyllm.errors import ConfigError

__all__ = ["overlay_path", "problems", "read", "secret"]


def read(path: str | Path, *, env: str | None = None) -> Settings:
    """The settings in the file at `path`; with `env="staging"`, `tidyllm.staging.yaml` beside it is laid over it.

    In an overlay, keys replace those below; mappings are merged, lists are replaced.

    :raises ConfigError: a file is missing or unreadable, or anything in it is wrong; every problem is named.
    """
    settings, found = _load(Path(path), env)
    if settings is None:
        raise ConfigError("\n".join(map(str, found)), hint="")
    return settings


def problems(path: str | Path, *, env: str | None = None) -> list[Problem]:
    """Everything that is wrong with the file; empty when it is fine. Touches no network and no secret.

    :raises ConfigError: a file is missing or unreadable.
    """
    return _load(Path(path), env)[1]


def secret(value: str, *, where: str) -> str:
    """The secret that `env:NAME` or `file:PATH` points to; any other text is the secret itself.

    :raises ConfigError: the variable is not set, the file cannot be read, or it is empty.
    """
    kind, colon, name = value.partition(":")
    if not colon or kind not in ("env", "file"):
        return value
    if kind == "env":
        found = os.environ.get(name, "")
        if not found:
            raise ConfigError(f"environment variable {name} is not set.", where=where, hint=f"Set {name}.")
        return found
    try:
        found = Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret file {name} cannot be read: {error}.", where=where) from error
    if not found:
        raise ConfigError(f"the secret file {name} is empty.", where=where)
    return found


def overlay_path(path: Path, env: str) -> Path:
    """`tidyllm.yaml` and `staging` give `tidyllm.staging.yaml`."""
    return path.with_name(f"{path.stem}.{env}{path.suffix}")


def _load(path: Path, env: str | None) -> tuple[Settings | None, list[Problem]]:
    data, lines = _parse(path)
    files = dict.fromkeys(lines, str(path))
    if env is not None:
        over, over_lines = _parse(overlay_path(path, env))
        data = _merge(data, over)
        lines |= over_lines
        files |= dict.fromkeys(over_lines, str(overlay_path(path, env)))
    settings, found = check(data)
    placed = [
        msgspec.structs.replace(one, line=_nearest(lines, one.where), file=_nearest(files, one.where) or str(path))
        for one in found
    ]
    return settings, placed


def _parse(path: Path) -> tuple[Any, dict[tuple[str, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}.", hint="Check the path, or run without a file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[tuple[str, ...], int] = {}
        data = _value(node, (), lines, str(path)) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {error}.") from error
    return data, lines


def _value(node: Any, where: tuple[str, ...], lines: dict[tuple[str, ...], int], file: str) -> Any:
    """The plain value of a YAML node. The line of every key is noted, and a key given twice is refused."""
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[Any, Any]]", node.value):
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise ConfigError(f"{file}:{line}: {'.'.join((*where, key))}: the key stands there twice.")
            lines[(*where, key)] = line
            result[key] = _value(value_node, (*where, key), lines, file)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, where, lines, file) for one in cast("list[Any]", node.value)]
    constructor = yaml.SafeLoader("")
    try:
        value: Any = constructor.construct_object(node)
    finally:
        constructor.dispose()
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{file}:{node.start_mark.line + 1}: {'.'.join(where)}: {value} is not a finite number.")
    return value


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged = dict(cast("Mapping[str, Any]", below))
        for key, value in cast("Mapping[str, Any]", above).items():
            merged[key] = _merge(merged[key], value) if key in merged else value
        return merged
    return above


def _nearest(table: Mapping[tuple[str, ...], Any], where: tuple[str, ...]) -> Any:
    while where and where not in table:
        where = where[:-1]
    return table.get(where)
