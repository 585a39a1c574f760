"""A model at Bedrock: the same call in one region after the other, while they have no room. It knows no formats.

Each try is an attempt of its own on the wire: counted, put aside for in the budget, and settled by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from tidyllm import clock
from tidyllm.core import Context
from tidyllm.errors import AuthError, ConfigError, ModelError, RateLimited, Unreachable
from tidyllm.models.attempt import Attempt
from tidyllm.models.bedrock.address import in_region
from tidyllm.models.bedrock.errors import tries_elsewhere
from tidyllm.models.bedrock.places import allowed_regions
from tidyllm.models.bedrock.signing import Signed, Signer
from tidyllm.models.forward import Forward
from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport
from tidyllm.models.model import Model
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.piece import Piece, Start
from tidyllm.models.provider import Endpoint, Provider
from tidyllm.models.reading import error_body
from tidyllm.models.request import RequestLike
from tidyllm.models.response import Response
from tidyllm.models.secret import Secrets

__all__ = ["BedrockModel"]

_R = TypeVar("_R", bound=Response)
_E = TypeVar("_E", bound=BaseException)


class BedrockModel(Model):
    """One model in the regions of its provider, in order. Make it with `tidyllm.model("bedrock/eu.anthropic.…")`.

    A region that throttles, has no capacity, or has not loaded the model is passed over for the next one; so is
    one that asked for a pause (`Retry-After`) until that is over. What is wrong with the request itself is raised.

    `infos`: what the catalogue knows of the model, by region, for the price differs.

    :raises ConfigError: the model cannot be called in any of the regions, or data might leave `residency`.
    """

    def __init__(
        self,
        model: str,
        provider: Provider,
        *,
        transport: Transport | None = None,
        infos: Mapping[str, ModelInfo | None] | None = None,
        lenient: bool = False,
        name: str | None = None,
    ) -> None:
        cloud = provider.cloud
        if cloud is None:
            raise ConfigError(f"provider {provider.name!r} has no regions.", where="regions")
        self.regions = allowed_regions(model, cloud.regions, cloud.residency)
        known = infos or {}
        super().__init__(
            model,
            provider,
            transport=transport,
            info=known.get(self.regions[0]),
            lenient=lenient,
            name=name,
        )
        self._tries = tuple(
            _InRegion(
                model,
                msgspec.structs.replace(provider, base_url=in_region(cloud.address, region)),
                region=region,
                signer=cloud.signer or Signer(cloud.profile),
                transport=self.transport,
                info=known.get(region),
                lenient=lenient,
                name=self.name,
            )
            for region in self.regions
        )
        self._pauses: dict[str, float] = {}
        """Until when a region asked to be left alone, on the monotonic clock."""

    async def invoke(self, x: RequestLike | Forward, ctx: Context) -> Response:
        failed: list[ModelError] = []
        tries = self._in_turn()
        for place, one in enumerate(tries):
            try:
                return await one.invoke(x, ctx)
            except ModelError as error:
                failed.append(error)
                self._note(one.region, error)
                if not _moves_on(error) or place == len(tries) - 1:
                    self._tell_pause(failed)
                    raise
        raise AssertionError("unreachable")

    async def invoke_stream(self, x: RequestLike | Forward, ctx: Context) -> AsyncGenerator[Any, None]:
        """As `Model.invoke_stream`. The next region is tried only while nothing but heads has come."""
        failed: list[ModelError] = []
        tries = self._in_turn()
        for place, one in enumerate(tries):
            held: list[Any] = []
            begun = place == len(tries) - 1  # nowhere to go: nothing need be held
            source = one.invoke_stream(x, ctx)
            try:
                try:
                    async for piece in source:
                        if not begun:
                            held.append(piece)
                            if piece.is_head:
                                continue
                            begun = True
                            for early in held:
                                yield early
                        else:
                            yield piece
                finally:
                    await source.aclose()
            except ModelError as error:
                failed.append(error)
                self._note(one.region, error)
                if not _moves_on(error) or begun:
                    self._tell_pause(failed)
                    raise
                continue
            if not begun:
                for early in held:
                    yield early
            return

    def _in_turn(self) -> tuple[_InRegion, ...]:
        """The regions to be tried now.

        :raises RateLimited: all of them asked for a pause that is not over.
        """
        if not self._pauses:
            return self._tries
        now = clock.monotonic()
        for region in [region for region, until in self._pauses.items() if until <= now]:
            self._pauses.pop(region, None)
        ready = tuple(one for one in self._tries if one.region not in self._pauses)
        if ready:
            return ready
        wait = max(min(self._pauses.values()) - now, 0.0)
        raise RateLimited(
            f"all regions ({', '.join(self.regions)}) asked for a pause, which ends in {wait:.1f} s.",
            provider=self.provider.name,
            model=self.model,
            retry_after=wait,
        )

    def _note(self, region: str, error: ModelError) -> None:
        if error.retry_after and _moves_on(error) and len(self._tries) > 1:  # with one, who tries again waits
            self._pauses[region] = clock.monotonic() + error.retry_after

    def _tell_pause(self, failed: list[ModelError]) -> None:
        """Give the last error the shortest pause after which one of the regions may be tried again."""
        last = failed[-1]
        if len(failed) > 1 and _moves_on(last):
            pauses = [error.retry_after for error in failed]
            last.retry_after = None if None in pauses else min(pause for pause in pauses if pause is not None)
            last.add_note(f"tried in {len(failed)} of the regions {', '.join(self.regions)}")


def _moves_on(error: ModelError) -> bool:
    return tries_elsewhere(error) or (isinstance(error, Unreachable) and not error.sent)


class _InRegion(Model):
    """The model in one region: one call is one attempt."""

    def __init__(self, model: str, provider: Provider, *, region: str, signer: Signer, **more: Any) -> None:
        super().__init__(model, provider, **more)
        self.region = region
        self._signer = signer
        self._hidden: tuple[str, ...] = ()
        self.span_attributes = {**self.span_attributes, "region": region}

    async def _send(
        self, endpoint: Endpoint, body: bytes, passed: Mapping[str, str], attempt: Attempt, *, stream: bool
    ) -> HTTPAnswer:
        operation = "converse-stream" if stream else "converse"
        base, mark, query = self.provider.base_url.partition("?")
        url = f"{base.rstrip('/')}{endpoint.path}/{quote(self.model, safe='')}/{operation}{mark}{query}"
        headers = self.provider.headers_for(passed)
        headers["accept"] = "application/vnd.amazon.eventstream" if stream else "application/json"
        signed = Signed({"content-type": "application/json"}, "")
        if not self.provider.api_key:
            signed = await self._signer.sign(url, signed.headers, body, self.region)
        headers |= {**signed.headers, **attempt.begin()}
        answer = await self.transport.send(HTTPCall("POST", url, headers, body))
        attempt.answered(answer)
        if 200 <= answer.status < 300:
            return answer
        async with answer:
            text = await error_body(answer)
        error = self.format.decode_error(answer.status, answer.headers, text)
        if isinstance(error, AuthError) and error.code != "AccessDeniedException":
            self._signer.forget()  # the credentials themselves were refused
        # AWS quotes what was signed, and with what.
        Secrets(self.provider, (signed.signature, signed.headers.get("authorization", ""))).clean(error)
        raise error

    async def _ask_stream(
        self, x: RequestLike | Forward, attempt: Attempt
    ) -> AsyncGenerator[list[Piece], None]:
        source = super()._ask_stream(x, attempt)
        try:
            async for batch in source:
                yield [
                    msgspec.structs.replace(piece, model=self.model)
                    if isinstance(piece, Start) and not piece.model
                    else piece
                    for piece in batch
                ]
        finally:
            await source.aclose()

    def _told(self, response: _R, attempt: Attempt) -> _R:
        if not response.model:  # Bedrock's answers do not say who wrote them
            response = msgspec.structs.replace(response, model=self.model)
        return super()._told(response, attempt)

    def _at(self, error: _E, attempt: Attempt) -> _E:
        if self._signer.known != self._hidden:
            self._hidden = self._signer.known
            self._secrets = Secrets(self.provider, self._hidden)
        return super()._at(error, attempt)
