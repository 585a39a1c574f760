"""The messages of a request that goes on in another format. It knows nothing of the fields around them."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

import msgspec

from tidyllm.errors import Unsupported
from tidyllm.models.cross_reasoning import fit_reasoning
from tidyllm.models.marks import MARKS
from tidyllm.models.message import File, Image, Message, Opaque, Part, Text, Thinking, ToolResult

__all__ = ["Crossing"]

_NOTES: Final = frozenset({
    "annotations", "cache_control", "caller", "citations", "index", "logprobs", "phase", "prompt_cache_breakpoint",
    "status",
})  # fmt: skip
"""Fields of parts and messages that comment on an answer or tell how to cache: the model never reads them."""

_WISHES: Final = frozenset({"cache_control", "citations"})
"""Those of them that ask for something, where they are objects: a caller hears that he does not get it."""

_TAKE_TEXT_FILES: Final = frozenset({"anthropic", "bedrock", "openai_responses"})

_ITEM_FIELDS: Final = frozenset({
    "caller", "content", "created_by", "encrypted_content", "id", "namespace", "phase", "status", "summary", "type",
})  # fmt: skip
"""Fields that a Responses item has besides those which our parts know."""


class Crossing:
    """One way from `source` (None: made by hand) to another format. `report` hears of what is left out."""

    def __init__(
        self, source: str | None, target: str, report: Callable[[str], None], *, lenient: bool = False
    ) -> None:
        self.source = source
        self.lenient = lenient
        self.target = target
        self.report = report

    def refuse(self, field: str, why: str | None = None) -> NoReturn:
        """:raises Unsupported: always."""
        source = self.source or "foreign"
        raise Unsupported(
            field,
            format=self.target,
            why=why
            or f"only the {source} format has it, and this request goes to a provider of another format",
            hint="Leave it out, or send the request to a provider of its own format.",
        )

    def lose(self, field: str) -> None:
        """Something without which the request still asks the same.

        :raises Unsupported: unless lenient.
        """
        if not self.lenient:
            source = self.source or "foreign"
            raise Unsupported(
                field,
                format=self.target,
                why=f"only the {source} format has it, and this request goes to a provider of another format",
                hint="Leave it out, send the request to a provider of its own format, or make the provider lenient.",
            )
        self.report(field)

    def messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The messages that are left, each with what is left of it.

        :raises Unsupported: one has a field that may mean anything.
        """
        kept: list[Message] = []
        for i, message in enumerate(messages):
            at = f"messages[{i}]"
            extra, refused = message.extra, None
            if self.source == "openai_chat" and isinstance(words := extra.get("refusal"), str):
                # A client sent back the whole message it had got.
                refused = Opaque(format="openai_chat", data={"type": "refusal", "refusal": words})
                extra = {name: value for name, value in extra.items() if name != "refusal"}
            extra = self.fields_of(extra, at) if extra else extra
            content = message.content
            if not isinstance(content, str) or refused is not None:
                parts = (*message.parts, refused) if refused is not None else message.parts
                crossed = [self._turn(part, f"{at}.content[{j}]") for j, part in enumerate(parts)]
                content = tuple(part for part in crossed if part is not None)
                if not content and parts:
                    continue  # it held nothing but reasoning
            kept.append(Message(message.role, content, extra))
        return tuple(kept)

    def part(self, part: Any, at: str) -> Any:
        """A part that crosses in any case, as the target takes it."""
        changes: dict[str, Any] = {}
        if part.extra:
            changes["extra"] = self.fields_of(part.extra, at)
        match part:
            case ToolResult() if not isinstance(part.content, str):
                inner = enumerate(part.content)
                changes["content"] = tuple([self._inner(one, f"{at}.content[{i}]") for i, one in inner])
            case Image() if self.source is not None and part.detail not in {None, "auto"}:
                if not self.target.startswith("openai"):
                    self.report(f"{at}.detail")  # each model looks at pictures in its own way
                    changes["detail"] = None
            case File() if part.data is not None:
                text = None if self.target in _TAKE_TEXT_FILES else _text_in(part)
                if text is not None:
                    return Text(text=text, extra=changes.get("extra", {}))
                if part.name is None and self.target.startswith("openai"):
                    kind = part.media_type or "application/pdf"
                    changes["name"] = f"file{mimetypes.guess_extension(kind) or ''}"
            case _:
                pass
        return msgspec.structs.replace(part, **changes) if changes else part

    def fields_of(self, extra: dict[str, Any], at: str) -> dict[str, Any]:
        """The fields that stay on a part or message: those made by hand, when it was made by hand."""
        foreign = [name for name in extra if name in MARKS and name != self.target]
        for name in foreign:
            if name == "openai_responses":
                self._item(extra[name], at)
        if self.source is None:
            left_out = (*foreign, *_NOTES) if foreign else ()
            return {name: value for name, value in extra.items() if name not in left_out}
        kept: dict[str, Any] = {}
        for name, value in extra.items():
            if name == "cache_control" and self.target == "bedrock" and value is not None:
                kept[name] = value  # its cache points say the same
            elif name in _WISHES and isinstance(value, dict):
                self.report(f"{at}.{name}")
            elif name not in _NOTES and name not in MARKS and value:
                self.refuse(f"{at}.{name}")
        return {**kept, self.target: extra[self.target]} if self.target in extra else kept

    def _turn(self, part: Part, at: str) -> Part | None:
        """A part of a message; None when it is left out."""
        if isinstance(part, Thinking):
            own = fit_reasoning(part, self.source, self.target)
            if own is None:
                self.report(at)
            return None if own is None else self.part(own, at)
        if isinstance(part, Opaque) and part.format != self.target and part.data.get("type") == "refusal":
            return self._refusal(part, at)
        if (
            isinstance(part, Opaque)
            and part.format != self.target
            and part.data.get("type") == "item_reference"
        ):
            self.refuse(at, "an 'item_reference' stands for a text that only its own provider keeps")
        return self.part(part, at)

    def _inner(self, part: Part, at: str) -> Part:
        """A part of a tool's result."""
        if isinstance(part, Opaque) and part.format == "anthropic" and self.target != "anthropic":
            name: object = part.data.get("tool_name")
            if part.data.get("type") == "tool_reference" and isinstance(name, str):
                # A search for tools that the caller ran. Elsewhere the model was shown all tools at once.
                self.report(at)
                return Text(text=f"Found the tool {name}.")
        return self.part(part, at)

    def _item(self, mark: Any, at: str) -> None:
        item: object = cast("dict[str, Any]", mark).get("item") if isinstance(mark, dict) else None
        for name, value in cast("dict[str, Any]", item).items() if isinstance(item, dict) else ():
            if name not in _ITEM_FIELDS and value is not None:
                self.refuse(f"{at}.{name}")

    def _refusal(self, part: Opaque, at: str) -> Part:
        """A refusal in words: OpenAI's formats have a part for it, to any other model it is what was said."""
        extra = self.fields_of(part.extra, at) if part.extra else part.extra
        if self.target == "openai_chat":
            return Opaque(format=self.target, data=part.data, extra=extra)
        if self.target == "openai_responses":
            return Opaque(format=self.target, data=part.data, extra={**extra, self.target: {"item": {}}})
        return Text(text=str(part.data.get("refusal") or ""), extra=extra)


def _text_in(part: File) -> str | None:
    """The text of a file that is text, under its name; None for any other."""
    if part.data is None or not (part.media_type or "").startswith("text/"):
        return None
    try:
        text = part.data.decode()
    except UnicodeDecodeError:
        return None
    return f"{part.name}:\n{text}" if part.name else text
