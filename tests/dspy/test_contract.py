"""The same cases on DSPy's own native engine and on ours. What differs is listed, with its reason."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.dspy.both import BOTH, SECRET, Seen, asked, call, dspy, engine, lm15, make, read, streamed
from tidyllm.models.response import Usage
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing import call as tool_call

MODES = ("sync", "async")

ANSWERS: dict[str, Reply] = {
    "text": Reply(text="Hello.", usage=Usage(input_tokens=3, output_tokens=2)),
    "reasoning": Reply(text="Hello.", reasoning="They greet."),
    "one tool": Reply(tool_calls=(tool_call("add", a=1, b=2),)),
    "two tools and text": Reply(text="Wait.", tool_calls=(tool_call("add", a=1), tool_call("sub", b=2))),
    "cut at the cap": Reply(text="Hel", finish_reason="length"),
    "refused": Reply(text="No.", finish_reason="refused"),
    "empty": Reply(text=""),
    "late": Reply(text="Hello.", delay=0.05),
}
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
FAULTS: dict[str, Reply] = {
    **{f"status {status}": Reply(status=status) for status in STATUSES},
    "status 429 with a pause": Reply(status=429, retry_after=7),
    "no JSON": Reply(garbage=b"{nope"),
    "a page": Reply(garbage=b"<html>Hello</html>", content_type="text/html"),
    "nothing": Reply(garbage=b""),
    "cut": Reply(text="one two three four", cut_after=2),
    "refused connection": Reply(unreachable=True),
}
PROVIDERS_OWN = [  # (question, what of it is compared)
    asked(temperature=0.0),
    asked(temperature=0.7, top_p=0.9, max_tokens=99, stop=("END",), seed=3),
    asked(frequency_penalty=0.1, presence_penalty=0.2, user_id="u-1", service_tier="flex", store=False),
    asked(response_format={"type": "json_object"}),
    asked(response_format={"type": "json_schema", "schema": {"type": "object"}, "name": "n", "strict": True}),
    asked(reasoning=lm15.Reasoning(effort="low")),
    asked(logprobs=2),
    asked(extensions={"logit_bias": {"5": 1}}),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ANSWERS)
def test_answers_are_the_same(case: str, mode: str) -> None:
    script = (ANSWERS[case],)
    assert call("ours", mode, script) == call("native", mode, script)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_the_same_errors_after_the_same_number_of_requests(case: str, mode: str) -> None:
    script = (FAULTS[case],) * 3
    ours = call("ours", mode, script)
    assert ours.error is not None
    assert ours == call("native", mode, script)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("retries", (0, 1, 2, 4))
def test_two_limits_and_an_answer_are_three_requests(retries: int, mode: str) -> None:
    script = (Reply(status=429, retry_after=0.01), Reply(status=429, retry_after=0.01), Reply(text="Hello."))
    ours = call("ours", mode, script, retries=retries)
    assert ours == call("native", mode, script, retries=retries)
    assert ours.requests == min(retries + 1, 3)


@pytest.mark.parametrize("mode", MODES)
def test_calls_after_many_failures_are_still_made(mode: str) -> None:
    """There is no breaker before a model that is named alone, as there is none in DSPy's engine."""
    for which in BOTH:
        with ModelServer(*(Reply(status=503),) * 30) as server:
            model = make(which, server.openai_url)
            for _ in range(12):
                with pytest.raises(dspy.LMServerError):
                    model(asked()) if mode == "sync" else asyncio.run(model.acall(asked()))
            assert len(server.requests) == 12


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_help_is_never_tried_again(mode: str) -> None:
    for status in (400, 401, 402, 404):
        assert call("ours", mode, (Reply(status=status),) * 3, retries=2).requests == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ANSWERS)
def test_streams_are_the_same_events(case: str, mode: str) -> None:
    script = (ANSWERS[case],)
    assert streamed("ours", mode, script) == streamed("native", mode, script)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ("status 429", "status 500", "status 401", "cut", "refused connection"))
def test_streams_break_with_the_same_errors(case: str, mode: str) -> None:
    script = (FAULTS[case],) * 3
    ours = streamed("ours", mode, script)
    assert ours.error is not None
    assert ours == streamed("native", mode, script)


@pytest.mark.parametrize("case", FAULTS)
def test_no_error_tells_the_key(case: str) -> None:
    error: BaseException | None = call("ours", "sync", (FAULTS[case],) * 3).error
    while error is not None:
        assert SECRET not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__


@pytest.mark.parametrize("place", range(len(PROVIDERS_OWN)))
def test_questions_are_the_same_on_the_wire(place: int) -> None:
    native, ours = sent("native", PROVIDERS_OWN[place]), sent("ours", PROVIDERS_OWN[place])
    assert _plain(ours) == _plain(native)


def test_messages_are_the_same_on_the_wire() -> None:
    tool = lm15.FunctionTool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
    pixel = lm15.ImagePart("image/png", data="iVBORw0KGgo=")
    question = lm15.Request(
        model="openai/any",
        system="Be short.",
        messages=(
            lm15.Message.user([lm15.TextPart("Look:"), pixel]),
            lm15.Message.assistant([lm15.ToolCallPart("c1", "add", {"a": 1})]),
            lm15.Message.tool("c1", "2"),
        ),
        tools=(tool,),
        config=lm15.Config(tool_choice=lm15.ToolChoice("required", ("add",))),
    )
    assert _plain(sent("ours", question)) == _plain(sent("native", question))


def body(message: dict[str, Any]) -> Reply:
    """An answer with just this message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "any", "choices": [choice]}
    return Reply(garbage=msgspec.json.encode(whole), content_type="application/json")


def calling(name: str, arguments: str) -> Reply:
    function = {"name": name, "arguments": arguments}
    return body({"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]})


@pytest.mark.parametrize("arguments", ("", "{}", '{"a": [1, {"b": null}]}', "{broken", "[1]", '"text"'))
def test_arguments_of_tools_are_read_the_same(arguments: str) -> None:
    script = (calling("add", arguments),)
    assert call("ours", "sync", script) == call("native", "sync", script)


def test_parts_and_missing_text_are_read_the_same() -> None:
    two = body({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
    for one in (two, body({"content": None}), Reply(garbage=b'{"error": {"message": "x", "code": 500}}')):
        assert call("ours", "sync", (one,)) == call("native", "sync", (one,))


def test_a_tool_without_a_name_is_no_answer() -> None:
    script = (calling("", "{}"),)
    kinds = [call(which, "sync", script).outcome[0] for which in ("native", "ours")]
    assert kinds == ["LMProviderError"] * 2


# -- what differs, and why


def test_a_refusal_ends_as_one() -> None:
    """DSPy's engine says that it stopped, as if it were an answer."""
    script = (body({"content": None, "refusal": "I will not."}),)
    native, ours = (call(which, "sync", script).outcome for which in ("native", "ours"))
    assert (native[1], native[2]) == (ours[1], "stop")
    assert ours[2] == "content_filter"


def test_sources_of_an_answer_are_citations() -> None:
    """DSPy's engine leaves them out in the chat format; over LiteLLM, and by ours, a program sees them."""
    source = {"type": "url_citation", "url_citation": {"url": "http://a", "title": "A"}}
    script = (body({"content": "yes", "annotations": [source]}),)
    assert [part.type for part in call("native", "sync", script).outcome[1]] == ["text"]
    assert [part.type for part in call("ours", "sync", script).outcome[1]] == ["text", "citation"]


@pytest.mark.parametrize("mode", MODES)
def test_a_full_window_is_one_by_its_words_too(mode: str) -> None:
    """DSPy's engine goes by the provider's code alone; servers of one's own have none, and ReAct needs to know."""
    words = "This model's maximum context length is 8192 tokens, your prompt has 9000."
    script = (Reply(status=400, message=words),)
    assert call("native", mode, script).outcome[0] == "LMInvalidRequestError"
    assert call("ours", mode, script).outcome[0] == "ContextWindowExceededError"


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_without_choices_is_none(mode: str) -> None:
    """DSPy's engine reads an empty answer, which a program takes for the model's; ours says that it is broken."""
    script = (Reply(garbage=b'{"id": "x", "model": "m", "choices": []}'),)
    assert call("native", mode, script).error is None
    assert call("ours", mode, script).outcome[0] == "LMProviderError"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", (b"data: {nope\n\n", b"", b"<html></html>"))
def test_a_stream_that_is_none_is_a_provider_s_error(body: bytes, mode: str) -> None:
    """DSPy's engine lets a JSONDecodeError out, or calls it an assembly error, which is never tried again."""
    ours = streamed("ours", mode, (Reply(garbage=body),))
    assert ours.outcome == ("ProviderError", 200)


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_that_takes_too_long_is_a_timeout(mode: str) -> None:
    """DSPy's engine calls its own clocks a failure of the transport. Both may be tried again."""
    script = (Reply(stall_after=0),)
    assert call("native", mode, script, timeout=0.2).outcome[0] == "LMTransportError"
    assert call("ours", mode, script, timeout=0.2).outcome[0] == "LMTimeoutError"


def test_a_developer_s_message_goes_out_as_one() -> None:
    """DSPy's engine renames it to `system` in the chat format; ours sends the role that was said."""
    question = lm15.Request(
        model="openai/any", messages=(lm15.Message.user("?"), lm15.Message.developer("Be short."))
    )
    roles = {which: sent(which, question)["messages"][1]["role"] for which in ("native", "ours")}
    assert roles == {"native": "system", "ours": "developer"}


def test_tools_of_a_provider_are_refused_by_name() -> None:
    """Both refuse them in the chat format; ours do so in every format, before anything is sent."""
    question = lm15.Request(
        model="openai/any", messages=(lm15.Message.user("?"),), tools=(lm15.BuiltinTool("web_search"),)
    )
    ours, native = (call(which, "sync", ("unused",), request=question) for which in ("ours", "native"))
    assert isinstance(ours.error, dspy.LMUnsupportedFeatureError)
    assert isinstance(native.error, dspy.LMUnsupportedFeatureError)
    assert ours.requests == 0


@pytest.mark.parametrize("mode", MODES)
def test_pieces_that_came_before_a_break_are_delivered_first(mode: str) -> None:
    """DSPy's async engine may lose them: what is read last may be the break alone."""
    came: list[str] = []
    with ModelServer(Reply(text="one two three four", cut_after=3)) as server:
        one = engine("ours", mode, server.openai_url)

        def take(event: Any) -> None:
            came.append(event.delta.text if event.type == "delta" else event.type)

        with pytest.raises(lm15.TransportError, match="after 3 pieces"):
            read(one, mode, take)
    assert came == ["start", "one ", "two "]


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("config.cache", {"cache": lm15.CacheConfig()}),
        ("config.reasoning.summary", {"reasoning": lm15.Reasoning(effort="low", summary="auto")}),
    ],
)
def test_what_only_some_providers_know_is_refused_by_name(field: str, config: dict[str, Any]) -> None:
    """DSPy's engine leaves it out without a word where the provider has none."""
    ours, native = (call(which, "sync", ("Hello.",), request=asked(**config)) for which in ("ours", "native"))
    assert isinstance(ours.error, dspy.LMUnsupportedFeatureError)
    assert getattr(ours.error, "feature", None) == field
    assert (ours.requests, native.requests, native.error) == (0, 1, None)


def test_errors_say_who_answered_what() -> None:
    """DSPy's engine repeats the provider's words alone."""
    script = (Reply(status=500, message="boom"),)
    native, ours = (str(call(which, "sync", script).error) for which in ("native", "ours"))
    assert "boom" in native
    assert "openai/any: the provider answered HTTP 500" in ours
    assert "boom" in ours


def sent(which: Any, question: Any) -> dict[str, Any]:
    """The body that a question becomes."""
    with ModelServer("Hello.") as server:
        make(which, server.openai_url)(question)
        return server.requests[0].body


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Spellings of one thing are one: the cap under its new name, no list of one, no stream."""
    plain = {name: value for name, value in body.items() if (name, value) != ("stream", False)}
    if "max_tokens" in plain:
        plain["max_completion_tokens"] = plain.pop("max_tokens")
    if isinstance(plain.get("stop"), str):
        plain["stop"] = [plain["stop"]]
    return plain


def test_what_is_seen_of_two_calls_is_compared_whole() -> None:
    assert Seen(("a",), 1) == Seen(("a",), 1)
    assert Seen(("a",), 1) != Seen(("a",), 2)
