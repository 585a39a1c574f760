"""A provider that quotes our key back: nobody reads it, whatever the status, in errors, logs and traces."""

from __future__ import annotations

import base64
import io
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.gateway.harness import gateway, raw_request, settings, upstream
from tests.models.raw_server import Server, serve
from tests.models.upstreams import CHAT_STREAM, data, frames, json_body, play, stream_head
from tidyllm import Fallback, Retry
from tidyllm.core import Context
from tidyllm.errors import ModelError, Overloaded
from tidyllm.models.factory import build
from tidyllm.models.model import Model
from tidyllm.models.provider import provider
from tidyllm.models.secret import Secrets
from tidyllm.observe import Logs, Otel

HEX = "0123456789abcdef0123456789abcdef"
TEAM = "team/secret+42=="
FORMS = [HEX, HEX.upper(), TEAM, quote(TEAM, safe=""), base64.b64encode(HEX.encode()).decode(), HEX[:20]]


def quoting(form: str) -> dict[str, Any]:
    return {"error": {"message": f"no {form}.", "type": f"t-{form}", "code": form, "param": form}}


def asked_at(server: Server, kind: str = "openai") -> Model:
    base = f"http://127.0.0.1:{server.port}/v1"
    service = provider(kind, name="up", base_url=base, api_key=HEX, headers={"X-Team": f"Basic {TEAM}"})
    return build("m", service)


def clean(text: str) -> bool:
    return not any(form.lower() in text.lower() for form in FORMS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 Not", "429 Wait", "500 Oh", "200 OK"])
async def test_an_error_quotes_no_secret_of_the_provider(status: str, form: str) -> None:
    async with serve(play(json_body(quoting(form), status=status))) as server:
        with pytest.raises(ModelError) as caught:
            await asked_at(server)("Hi")
    assert clean(f"{caught.value} {vars(caught.value)}")
    assert clean("".join(traceback.format_exception(caught.value)))
    assert "***" in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>" + HEX.encode(), b'"' + HEX.encode(), b"x" * 60 + HEX.encode()])
async def test_an_answer_that_is_no_answer_quotes_none_either(body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with serve(play(head + body)) as server:
        with pytest.raises(ModelError) as caught:
            await asked_at(server)("Hi")
    assert clean("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("before", [(), CHAT_STREAM[:2]])
async def test_an_error_in_a_stream_quotes_none(before: tuple[bytes, ...]) -> None:
    broken = stream_head() + frames(*before, data(quoting(HEX)))
    async with serve(play(broken)) as server:
        for asked in (
            asked_at(server),
            Retry(asked_at(server), attempts=2, base=0),
            Fallback(asked_at(server)),
        ):
            with pytest.raises(ModelError) as caught:
                async for _ in asked.stream("Hi"):
                    pass
            assert clean("".join(traceback.format_exception(caught.value)))
            assert clean(str(vars(caught.value)))


async def test_logs_and_traces_quote_none() -> None:
    page, spans = io.StringIO(), InMemorySpanExporter()
    logs = Logs(format="json", level="debug", stream=page)
    ctx = Context.new(hooks=(logs, Otel(SimpleSpanProcessor(spans))))
    try:
        async with serve(play(json_body(quoting(HEX), status="401 No"))) as server:
            with pytest.raises(ModelError):
                await asked_at(server)("Hi", ctx)
    finally:
        logs.close()
    assert "attempt failed" in page.getvalue()
    assert clean(page.getvalue())
    assert spans.get_finished_spans()
    assert clean("".join(span.to_json() for span in spans.get_finished_spans()))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["400 Bad", "401 No", "500 Oh", "200 OK"])
async def test_a_caller_of_the_gateway_reads_none(status: str, stream: bool, path: str) -> None:
    answered = json_body(quoting(HEX), status=status)
    if status == "200 OK" and stream:
        answered = stream_head() + frames(*CHAT_STREAM[:1], data(quoting(HEX)))
    async with upstream(play(answered)) as server:
        at = {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": HEX}
        route = {"route": ["main/m"], "retry": {"attempts": 1, "base": 0.0, "cap": 0.0}}
        async with gateway(settings(providers={"main": at}, models={"fast": route})) as running:
            ask = b'{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"stream":%b}'
            _, headers, body = await raw_request(running, ask % str(stream).lower().encode(), path=path)
    assert b"error" in body
    assert clean(f"{headers} {body.decode()}")


def test_a_short_key_is_hidden_only_as_a_word() -> None:
    hide = Secrets(provider("openai", base_url="http://x/v1", api_key="test")).hide
    assert hide("the latest key test, tests") == "the latest key ***, tests"


def test_harmless_headers_and_versions_are_left_readable() -> None:
    url = "http://x/v1?api-version=2024-10-21&sig=verysecretvalue"
    hide = Secrets(provider("openai", base_url=url, headers={"OpenAI-Organization": "org-readable"})).hide
    assert hide("org-readable 2024-10-21 verysecretvalue") == "org-readable 2024-10-21 ***"


def test_notes_and_causes_are_cleaned_too() -> None:
    error = Overloaded("busy")
    error.add_note(f"with {HEX}")
    error.__cause__ = ValueError(f"of {HEX}")
    Secrets(provider("openai", base_url="http://x/v1", api_key=HEX)).clean(error)
    assert clean("".join(traceback.format_exception(error)))


@given(st.text(min_size=12, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_text_around_a_key_brings_it_through(key: str, before: str, after: str) -> None:
    hide = Secrets(provider("openai", base_url="http://x/v1", api_key=key)).hide
    assert key not in hide(f"{before}{key}{after}").replace("***", "\0") or "*" in key
