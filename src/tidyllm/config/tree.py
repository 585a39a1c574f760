"""YAML text to plain values, with the line of each. It knows YAML, not what settings mean.

A plain word means what YAML 1.2 says, so `off`, `no` and `1:30` are text. Anchors, aliases and merge keys (`<<`) work.
Refused by name: a key given twice, numbers that are not finite, tags such as `!!python/object`, and files that are no
configuration: above 512 KiB, 20,000 values or 64 levels. A few lines of aliases to aliases make millions of values.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

import msgspec
import yaml

from tidyllm.config.problem import Problem, Where

__all__ = ["MAX_BYTES", "Tree", "parse"]

MAX_BYTES = 512 * 1024
_MAX_VALUES = 20_000
_MAX_LEVELS = 64

_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 300
"""A number with more does not fit a float."""

_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str"))


class Tree(msgspec.Struct):
    """What stands in a file. With `problems` the value may lack what they are about."""

    value: Any
    lines: dict[Where, int]
    """The line of each key and list item, from 1."""
    problems: list[Problem]


class _NoTree(Exception):
    """The text as a whole is unusable."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.problem = Problem((), message, line=line)


def parse(text: str) -> Tree:
    """The values in a YAML text; an empty one holds None."""
    reader = _Reader()
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)  # it gives every plain word as it stands
        value = None if node is None else reader.value(node, (), 0)
    except _NoTree as error:
        return Tree(None, reader.lines, [error.problem])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        said = ", ".join(word for word in (error.context, error.problem) if word)
        hint = "Indent with spaces." if "'\\t'" in said else ""
        where = f" (column {mark.column + 1})" if mark else ""
        return _broken(f"this is not YAML: {said}{where}.", mark.line + 1 if mark else None, hint)
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        return _broken(f"this is not YAML: it holds the character U+{code:04X}.", None)
    except yaml.YAMLError as error:
        return _broken(f"this is not YAML: {error}.", None)
    except RecursionError:
        return _broken(f"it is nested more than {_MAX_LEVELS} levels deep.", None)
    return Tree(value, reader.lines, reader.problems)


def _broken(message: str, line: int | None, hint: str = "") -> Tree:
    return Tree(None, {}, [Problem((), message, hint, line)])


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Where, int] = {}
        self.problems: list[Problem] = []
        self._left = _MAX_VALUES

    def value(self, node: yaml.Node, where: Where, level: int) -> Any:
        self._count(node, level)
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(node, where, f"the tag {tag} is not supported.", "Write the plain value.")
            return None
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key, (key_node, value_node) in self._entries(node, where, level).items():
                self.lines[(*where, key)] = _line(key_node)
                result[key] = self.value(value_node, (*where, key), level + 1)
            return result
        if isinstance(node, yaml.SequenceNode):
            items: list[Any] = []
            for place, item in enumerate(cast("list[yaml.Node]", node.value)):
                self.lines[(*where, place)] = _line(item)
                items.append(self.value(item, (*where, place), level + 1))
            return items
        return self._scalar(cast("yaml.ScalarNode", node), where)

    def _entries(
        self, node: yaml.MappingNode, where: Where, level: int
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys of a mapping with those merged into it, which its own keys replace."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, where, "a key must be a plain word or text in quotes.")
                continue
            key = str(key_node.value)
            if key == "<<" and not key_node.style:
                is_list = isinstance(value_node, yaml.SequenceNode)
                merged += cast("list[yaml.Node]", value_node.value) if is_list else [value_node]
            elif key in own:
                first = _line(own[key][0])
                self._problem(key_node, (*where, key), f"the key stands here twice, first in line {first}.")
            else:
                own[key] = (key_node, value_node)
        for each in merged:
            self._count(each, level)
            if isinstance(each, yaml.MappingNode):
                for key, entry in self._entries(each, where, level + 1).items():
                    own.setdefault(key, entry)
            else:
                self._problem(each, where, "'<<' takes a section, or a list of sections.")
        return own

    def _scalar(self, node: yaml.ScalarNode, where: Where) -> Any:
        text = str(node.value)
        if node.style:  # quoted, or a block of text
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if len(text) <= _MOST_DIGITS:
            if _INT.fullmatch(text):
                return int(text)
            if _BASED.fullmatch(text):
                return int(text, 0)
            number = float(text) if _FLOAT.fullmatch(text) else None
            if number is not None and math.isfinite(number):
                return number
            if number is not None or _NOT_FINITE.fullmatch(text):
                self._problem(node, where, f"{text} is not a finite number.")
                return None
        return text

    def _count(self, node: yaml.Node, level: int) -> None:
        self._left -= 1
        if level > _MAX_LEVELS:
            raise _NoTree(f"it is nested more than {_MAX_LEVELS} levels deep.", _line(node))
        if self._left < 0:
            raise _NoTree(
                f"it makes more than {_MAX_VALUES:,} values; that is no configuration.", _line(node)
            )

    def _problem(self, node: yaml.Node, where: Where, message: str, hint: str = "") -> None:
        self.problems.append(Problem(where, message, hint, _line(node)))


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
