"""A cache around a model or a route. It knows questions and answers of models, not where answers are kept.

fast = AnswerCache(routes["fast"], ttl_seconds=3600)
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Pieces
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, TypeGuard

import msgspec

from tidyllm.cache.backend import Backend
from tidyllm.cache.caching import Caching
from tidyllm.cache.entry import Corrupt, Entry
from tidyllm.cache.key import Memo, forward_key, request_key
from tidyllm.cache.landed import Packed
from tidyllm.cache.piece_codec import mark_piece, pack_pieces, size_of, unpack_pieces
from tidyllm.cache.semantic import Similar
from tidyllm.cache.serving import serving_of
from tidyllm.core import Context, Step
from tidyllm.core.tags import SAMPLE_TAG, TENANT_TAG
from tidyllm.errors import ConfigError, TidyllmError
from tidyllm.models.forward import Forward, Forwarded
from tidyllm.models.request import Request, RequestLike
from tidyllm.models.response import Response

__all__ = ["AnswerCache"]

_WHOLE = frozenset({"stop", "length", "tool_calls"})
"""How an answer ends that may be kept. What was refused, paused or failed may go otherwise the next time."""
_WITHOUT_END = frozenset({"openai_embeddings", "anthropic_count_tokens"})
"""Endpoints whose answers have no such word."""
_ACTS: Final = ("conversation", "background", "container")
"""Fields of a request that change something at the provider: it must be sent. Only where they say anything."""
_FACTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)

_encode = msgspec.msgpack.Encoder().encode
_decode = {
    "response": msgspec.msgpack.Decoder(Response).decode,
    "forwarded": msgspec.msgpack.Decoder(Forwarded).decode,
}
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class AnswerCache(Caching[RequestLike, Response]):
    """Equal questions to a model are answered once.

    - `ttl_seconds`: how long an answer is kept, in seconds or as a `timedelta`. An hour: long enough for a batch that
      is run again, short enough for facts that change.
    - `store`: where; default: the memory of this process.
    - `serving`: what answers, as part of the key. Default: the models inside the step, with their addresses: answers
      of a route are not given once its targets have changed.
    - `vary`: names of the run's tags that are part of the key, too.
    - `tenant`: whom a run belongs to, as part of the key; None: this run is not cached. Default: the tag
      `tidyllm.tenant`, "" where there is none.
    - `max_entry_bytes`: larger answers are passed on, and not kept. 1 MB: some 250,000 tokens of text.
    - `similar`: answers questions that mean the same; see `Similar`. Default: off.

    Equal are requests with the same canonical JSON, `stream` included: one field more, less or other, and the model is
    asked. Errors are not kept, nor answers that a provider refused or did not finish. A kept answer says so: `cached`
    is true, `cost_usd` 0 and `saved_usd` what it had cost. A request that acts on the provider's side (`conversation`,
    `background`, `container`) is always sent.

    :raises ConfigError: an argument is out of range.
    :raises NotCached: the caller wanted a kept answer (`only-if-cached`), and none is kept.
    """

    def __init__(
        self,
        step: Step[RequestLike, Response],
        ttl_seconds: float | timedelta = 3600,
        *,
        store: Backend | None = None,
        serving: str | None = None,
        vary: Pieces[str] = (),
        tenant: Callable[[Context], str | None] | None = None,
        max_entry_bytes: int = 1_000_000,
        similar: Similar | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(vary, str):
            raise ConfigError(
                f"{vary!r} is text; expected a list of names of tags.", where="AnswerCache.vary"
            )
        super().__init__(step, ttl_seconds, store, max_entry_bytes, name)
        self.serving = serving_of(self.inner) if serving is None else serving
        self.vary = tuple(vary)
        self.similar = similar
        self._tenant = tenant
        self._memo = Memo()

    # -- keys

    def place(self, ctx: Context) -> tuple[str, ...] | None:
        """What must be equal beside the request: what serves, for whom, and the tags that matter."""
        tags = ctx.tags
        tenant = tags.get(TENANT_TAG, "") if self._tenant is None else self._tenant(ctx)
        if tenant is None:
            return None
        sample = tags.get(SAMPLE_TAG)
        if sample is not None:
            tenant = f"{tenant}\0{sample}"  # a NUL is in no tenant's name
        if not self.vary:
            return (self.serving, tenant)
        # A tag that is not there is another thing than an empty one.
        return (self.serving, tenant, *(f"={tags[name]}" if name in tags else "" for name in self.vary))

    def _key(self, x: Any, ctx: Context, *, stream: bool) -> bytes | None:
        place = self.place(ctx)
        if place is None:
            return None
        if isinstance(x, Forward):
            fields = x.fields
            for name in _ACTS:
                if name in fields and fields[name] not in _NOTHING:
                    return None
            return forward_key(x, place if stream is x.stream else (*place, "unlike"), self._memo)
        try:
            request = Request.of(x)
        except TypeError:
            return None  # the model says better what is wrong with it
        if any(request.extra.get(name) for name in _ACTS):
            return None
        return request_key(request, place, stream=stream)

    # -- answers

    def _pack(self, answer: Any, x: Any) -> tuple[Packed | None, bool]:
        if not _is_answer(answer):
            return None, False
        marked = _marked(answer)
        try:
            body = _encode(msgspec.structs.replace(marked, output=None))
        except _UNWRITABLE:
            return None, False
        kind = "forwarded" if isinstance(answer, Forwarded) else "response"
        return Packed(kind, body, answer.cost_usd, _facts(answer)), _may_be_kept(answer, x)

    def _unpack(self, entry: Entry, x: Any) -> Response:
        decode = _decode.get(entry.kind)
        if decode is None:
            raise Corrupt(f"it holds {entry.kind!r} where a whole answer was expected")
        try:
            answer: Response = decode(entry.body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Corrupt(f"its answer cannot be read: {error}") from error
        output = _output(x)
        return answer if output is None else msgspec.structs.replace(answer, output=output)

    def _joined(self, answer: Any) -> Any:
        return _marked(answer) if isinstance(answer, Response) else answer

    # -- streams

    def _pack_pieces(self, pieces: Pieces[Any], x: Any) -> tuple[Packed | None, bool]:
        if not pieces:
            return None, False
        try:
            answer: object = self.inner.join(pieces)
        except TidyllmError:
            return None, False
        if not _is_answer(answer):
            return None, False
        try:
            kind, body = pack_pieces(pieces, answer.cost_usd)
        except _UNWRITABLE:
            return None, False
        return Packed(kind, body, answer.cost_usd, _facts(answer)), _may_be_kept(answer, x)

    def _unpack_pieces(self, entry: Entry, x: Any) -> Pieces[Any]:
        return unpack_pieces(entry.kind, entry.body, _output(x))

    def _joined_piece(self, piece: Any) -> Any:
        return mark_piece(piece)

    def _size(self, piece: Any) -> int:
        return size_of(piece)

    # -- questions that mean the same

    async def _similar(self, key: bytes, x: Any, ctx: Context, *, stream: bool) -> Entry | None:
        place = None if self.similar is None else self.place(ctx)
        if self.similar is None or place is None:
            return None
        near = await self.similar.find(key, x, place, ctx, stream=stream)
        entry = None if near is None else await self._kept.get(near)
        if entry is not None:
            self.similar.served(key)
        elif near is not None:
            self.similar.forget(near)
        return entry

    def _remember(self, key: bytes) -> None:
        if self.similar is not None:
            self.similar.add(key)


_NOTHING = (msgspec.Raw(b"null"), msgspec.Raw(b"false"))


def _is_answer(answer: object) -> TypeGuard[Response]:
    return isinstance(answer, Response)  # a step is typed by promise only


def _output(x: Any) -> Any:
    return x.output if isinstance(x, Request) else None


def _marked(answer: Response) -> Response:
    return msgspec.structs.replace(answer, cached=True, cost_usd=Decimal(0), saved_usd=answer.cost_usd)


def _may_be_kept(answer: Response, x: Any) -> bool:
    """Whether the next one who asks the same should get this. What an inner cache kept has its time there."""
    if answer.cached:
        return False
    return answer.finish_reason in _WHOLE or (isinstance(x, Forward) and x.format in _WITHOUT_END)


def _facts(answer: Response) -> dict[str, Any]:
    known: dict[str, Any] = {name: getattr(answer.usage, name) for name in _FACTS}
    known["finish_reason"] = answer.finish_reason
    known["provider"] = answer.provider or None
    known["response_model"] = answer.model or None
    known["response_id"] = answer.id or None
    return {name: value for name, value in known.items() if value is not None}
