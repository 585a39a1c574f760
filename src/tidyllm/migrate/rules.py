"""What is legacy and what takes its place, as data. It knows TOML tables, not code.

Each pattern has a file in `rules/` beside this one. A team adds its own names with a file of its own (`--rules`):

    [dspy_enhanced]
    modules = ["acme.llm.wrappers"]              # where its classes come from
    [dspy_enhanced.names]
    AcmeWrapper = "DSPyEnhancedWrapper"          # a class of another name that is used in the same way
    [dspy_enhanced.arguments.RetryConfig]
    tries = "max_retries"                        # an argument of another name
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from tidyllm.migrate.errors import RulesError

__all__ = ["PATTERNS", "Name", "Rules", "load", "merged"]

PATTERNS = (
    "dspy_enhanced",
    "dspy_gateway",
    "dspy_bedrock",
    "dspy_wrapper",
    "dspy_legacy",
    "tta_primitives",
    "litellm",
    "openai_client",
    "tenacity",
)


@dataclass(frozen=True)
class Name:
    """One legacy name."""

    name: str
    to: str = ""
    """The dotted name that takes its place wherever it stands alone (type hints, re-exports); empty: nothing does."""
    convert: str = ""
    """The function of the pattern that converts a call; empty: `call`."""
    arguments: tuple[str, ...] = ()
    """The old parameters in order; an argument that is not among them cannot be converted."""
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    drop: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arguments that have no counterpart and lose nothing: name, and why."""
    methods: Mapping[str, str] = field(default_factory=dict[str, str])
    """Methods of an instance and their new names."""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    subclass: bool = False
    keep: bool = False
    """Where it stands alone it is no legacy (`isinstance(x, OpenAI)`): only calls of it are looked at."""
    reason: str = ""
    """Why nothing takes its place, and what to do by hand."""
    by_hand: str = ""


@dataclass(frozen=True)
class Rules:
    """The legacy names of one pattern."""

    pattern: str
    title: str
    modules: tuple[str, ...]
    """Whole dotted names."""
    files: tuple[str, ...] = ()
    """Last parts of dotted names: `dspy_enhanced` is meant by `acme.llm.dspy_enhanced` as well."""
    deep: bool = False
    """Names may come from any module below those."""
    closed: bool = False
    """All of the modules is legacy: other names in it are listed as what could not be converted."""
    home: str = ""
    """The module that takes the place of the modules themselves."""
    names: Mapping[str, Name] = field(default_factory=dict[str, Name])
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def module(self, dotted: str) -> bool:
        """Whether it is one of the modules, or below one where that counts."""
        bare = dotted.lstrip(".")
        if bare in self.modules or bare.rpartition(".")[2] in self.files:
            return True
        return self.deep and any(bare.startswith(f"{one}.") for one in self.modules)

    def find(self, qualified: str) -> Name | None:
        """The rule for `module.Name`."""
        module, _, last = qualified.rpartition(".")
        if module and self.module(module):
            return self.names.get(self.aliases.get(last, last))
        # `dspy.settings.configure`: a name with a dot below a module.
        for name, rule in self.names.items():
            if "." in name and qualified.endswith(f".{name}") and self.module(qualified[: -len(name) - 1]):
                return rule
        return None

    def unknown(self, qualified: str) -> bool:
        """Whether it comes from a module that is legacy as a whole, without a rule for it."""
        module = qualified.rpartition(".")[0]
        return self.closed and bool(module) and self.module(module) and self.find(qualified) is None

    @property
    def needles(self) -> tuple[bytes, ...]:
        """A file without any of these needs no parsing."""
        words = {one.rpartition(".")[2] for one in self.modules} | set(self.files)
        if self.deep:
            words = {one.partition(".")[0] for one in self.modules}
        return tuple(sorted(word.encode() for word in words))


_HERE = Path(__file__).parent / "rules"
_TOP = {"title", "modules", "files", "deep", "closed", "home", "names", "settings"}
_NAME = {
    "to", "convert", "arguments", "rename", "drop", "methods", "attributes", "subclass", "keep", "reason",
    "by_hand",
}  # fmt: skip
_ADDED = {"modules", "names", "arguments"}


@cache
def load(pattern: str) -> Rules:
    """The rules of a pattern as they come with the package."""
    path = _HERE / f"{pattern}.toml"
    table = tomllib.loads(path.read_text("utf-8"))
    _known(table, _TOP, str(path.name))
    names: dict[str, Name] = {}
    for name, given in table.get("names", {}).items():
        _known(given, _NAME, f"{path.name}, names.{name}")
        ready: dict[str, Any] = {**given, "arguments": tuple(given.get("arguments", ()))}
        names[name] = Name(name, **ready)
    return Rules(
        pattern,
        table["title"],
        tuple(table["modules"]),
        tuple(table.get("files", ())),
        table.get("deep", False),
        table.get("closed", False),
        table.get("home", ""),
        names,
        {},
        table.get("settings", {}),
    )


def merged(patterns: Iterable[str], file: Path | None) -> tuple[Rules, ...]:
    """The rules of these patterns with what a team's file adds.

    :raises RulesError: the file is missing, is no TOML, or says something that there is not.
    """
    wanted = list(patterns)
    for name in wanted:
        if name not in PATTERNS:
            raise RulesError(f"there is no pattern {name!r}.", _meant(name, PATTERNS))
    added = _read(file) if file is not None else {}
    return tuple(_with(load(name), added.get(name, {}), str(file)) for name in PATTERNS if name in wanted)


def _read(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise RulesError(
            f"the rules {file} cannot be read: {error.strerror}.", "Give --rules a file of TOML."
        ) from error
    except UnicodeDecodeError as error:
        raise RulesError(f"the rules {file} are not UTF-8.", "Save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"the rules {file} are no TOML: {error}.", "Mend that line.") from error
    _known(table, set(PATTERNS), str(file), "pattern")
    for pattern, given in table.items():
        where = f"{file}, [{pattern}]"
        if not isinstance(given, dict):
            raise RulesError(f"{where} is no table.", f"Write [{pattern}] and keys below it.")
        _known(cast("dict[str, Any]", given), _ADDED, where)
    return table


def _with(rules: Rules, added: Mapping[str, Any], where: str) -> Rules:
    if not added:
        return rules
    here = f"{where}, [{rules.pattern}]"
    modules = added.get("modules", [])
    if not isinstance(modules, list) or not all(
        isinstance(one, str) for one in cast("list[object]", modules)
    ):
        raise RulesError(f"{here}: modules is no list of texts.", 'Write modules = ["acme.llm"].')
    aliases = _texts(added.get("names", {}), f"{here}: names")
    for own, known in aliases.items():
        if known not in rules.names:
            raise RulesError(
                f"{here}: {own} = {known!r}, but the pattern has no name {known!r}.",
                _meant(known, rules.names),
            )
    names = dict(rules.names)
    arguments: object = added.get("arguments", {})
    if not isinstance(arguments, dict):
        raise RulesError(f"{here}: arguments is no table.", "Write [pattern.arguments.Name].")
    for name, given in cast("dict[str, object]", arguments).items():
        if name not in names:
            raise RulesError(f"{here}: arguments of {name!r}, which is no name here.", _meant(name, names))
        rule = names[name]
        renamed = _texts(given, f"{here}: arguments.{name}")
        for own, known in renamed.items():
            if known not in rule.arguments:
                raise RulesError(
                    f"{here}: arguments.{name}.{own} = {known!r}, but {name} has no argument {known!r}.",
                    _meant(known, rule.arguments),
                )
        extra = {own: rule.rename.get(known, known) for own, known in renamed.items()}
        names[name] = replace(
            rule,
            arguments=(*rule.arguments, *renamed),
            rename={**rule.rename, **extra},
        )
    return replace(
        rules,
        modules=(*rules.modules, *cast("list[str]", modules)),
        names=names,
        aliases={**rules.aliases, **aliases},
    )


def _texts(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(one, str) for one in cast("dict[str, object]", value).values()
    ):
        raise RulesError(f"{where} is no table of texts.", 'Write own = "known".')
    return cast("dict[str, str]", value)


def _known(table: Mapping[str, Any], allowed: set[str], where: str, what: str = "key") -> None:
    for key in table:
        if key not in allowed:
            raise RulesError(f"{where}: unknown {what} {key!r}.", _meant(key, allowed))


def _meant(word: str, known: Iterable[str]) -> str:
    options = sorted(known)
    near = difflib.get_close_matches(word, options, 1, 0.5)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(options)}."
