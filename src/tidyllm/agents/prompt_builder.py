"""Prompts from sections: which belong to a phase, a kind of task and its complexity, fitted to a number of tokens.

It knows texts and their order, nothing of agents. What it gives is a pure function of what it is asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from tidyllm.agents.sizes import text_tokens
from tidyllm.errors import ConfigError

__all__ = ["COMPLEXITIES", "KINDS", "PHASES", "BuiltPrompt", "PromptBuilder", "Section"]

PHASES = ("planning", "coding", "review", "testing", "debugging", "documentation")
KINDS = ("coding", "reasoning", "analysis")
COMPLEXITIES = ("simple", "normal", "complex")

_NEVER_GOES = 100
_MOST_KEPT = 512


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a prompt.

    - `phases`, `kinds`, `complexity`: for which of them it is; empty: for all.
    - `priority`: 0 to 100. Where the prompt is too long, the lowest go first; one of 100 is only ever cut.
    """

    name: str
    text: str
    phases: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    complexity: tuple[str, ...] = ()
    priority: int = 50

    def fits(self, phase: str | None, kind: str | None, complexity: str | None) -> bool:
        """Whether it belongs into such a prompt."""
        asked = ((self.phases, phase), (self.kinds, kind), (self.complexity, complexity))
        return all(not those or one in those for those, one in asked)


class BuiltPrompt(msgspec.Struct, frozen=True):
    """`text`, of `tokens` tokens; the names of the `sections` in it, and of those `left_out` for want of room."""

    text: str
    tokens: int
    sections: tuple[str, ...]
    left_out: tuple[str, ...] = ()


class PromptBuilder:
    """Builds prompts of these sections, in their order, and keeps what it built.

    :raises ConfigError: two sections have one name, or one names a phase, kind or complexity that is none.
    """

    def __init__(self, sections: Iterable[Section]) -> None:
        self.sections: tuple[Section, ...] = tuple(sections)
        self._built: dict[tuple[Any, ...], BuiltPrompt] = {}
        names: set[str] = set()
        for section in self.sections:
            where = f"section {section.name!r}"
            if section.name in names:
                raise ConfigError("two sections have this name.", where=where)
            names.add(section.name)
            _check("phase", section.phases, PHASES, where)
            _check("kind", section.kinds, KINDS, where)
            _check("complexity", section.complexity, COMPLEXITIES, where)

    @classmethod
    def loads(cls, text: str) -> PromptBuilder:
        """From TOML: `[[section]]` tables with the fields of `Section`.

        :raises ConfigError: it is not TOML, or has other fields.
        """
        try:
            found = msgspec.convert(tomllib.loads(text), type=dict[str, list[Section]])
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"these are no sections of a prompt: {error}.", where="prompts") from error
        others = sorted(set(found) - {"section"})
        if others:
            raise ConfigError(f"{others[0]!r} is not known here; write [[section]].", where="prompts")
        stripped = (msgspec.structs.replace(one, text=one.text.strip()) for one in found.get("section", []))
        return cls(stripped)

    @classmethod
    def default(cls) -> PromptBuilder:
        """The one with the prompts of this package, made once."""
        return _default()

    def with_(self, *sections: Section) -> PromptBuilder:
        """These sections as well; one of the same name takes the place of the former."""
        new = {section.name: section for section in sections}
        kept = [new.pop(section.name, section) for section in self.sections]
        return PromptBuilder([*kept, *new.values()])

    def build(
        self,
        phase: str | None = None,
        kind: str | None = None,
        complexity: str | None = None,
        *,
        budget_tokens: int | None = None,
        model: str = "",
    ) -> BuiltPrompt:
        """The prompt for such a task. Sections that are for other phases, kinds or complexities are not in it.

        - `budget_tokens`: the most that it may be; None: all that belongs to it.
        - `model`: by whose tokenizer it is counted; "": by bytes.

        :raises ConfigError: `phase`, `kind` or `complexity` is none of those there are.
        """
        key = (phase, kind, complexity, budget_tokens, model)
        found = self._built.get(key)
        if found is None:
            for word, asked, known in (
                ("phase", phase, PHASES),
                ("kind", kind, KINDS),
                ("complexity", complexity, COMPLEXITIES),
            ):
                _check(word, () if asked is None else (asked,), known, "prompt")
            if len(self._built) >= _MOST_KEPT:
                self._built.clear()
            found = self._built[key] = self._fitted(phase, kind, complexity, budget_tokens, model)
        return found

    def _fitted(
        self, phase: str | None, kind: str | None, complexity: str | None, budget: int | None, model: str
    ) -> BuiltPrompt:
        chosen = [section for section in self.sections if section.fits(phase, kind, complexity)]
        left_out: list[str] = []
        while True:
            text = "\n\n".join(section.text for section in chosen)
            tokens = text_tokens(text, model)
            if budget is None or tokens <= budget:
                break
            least = min(chosen, key=lambda section: section.priority)
            if least.priority >= _NEVER_GOES:
                text = _cut(text, budget, model)
                tokens = text_tokens(text, model)
                break
            # Of equals the last one goes.
            at = max(at for at, section in enumerate(chosen) if section.priority == least.priority)
            left_out.append(chosen.pop(at).name)
        return BuiltPrompt(text, tokens, tuple(section.name for section in chosen), tuple(left_out))


def _cut(text: str, budget: int, model: str) -> str:
    low, high = 0, len(text) + 1
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if text_tokens(text[:middle], model) <= budget else (low, middle)
    while low and text_tokens(text[:low], model) > budget:
        low -= 1
    return text[:low]


def _check(word: str, given: tuple[str, ...], known: tuple[str, ...], where: str) -> None:
    for one in given:
        if one not in known:
            raise ConfigError(f"{one!r} is no {word}; there are: {', '.join(known)}.", where=where)


@cache
def _default() -> PromptBuilder:
    text = files("tidyllm.agents.prompts").joinpath("agents.toml").read_text(encoding="utf-8")
    return PromptBuilder.loads(text)
