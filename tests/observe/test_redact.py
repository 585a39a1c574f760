from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.observe.redact import HIDDEN, redact, redact_value, short

SECRET = "sk-ant-api03-abcDEF123456"

HIDES = {
    "an OpenAI key": (f"Incorrect API key provided: {SECRET}.", SECRET),
    "a key that a provider shortened": ("Incorrect API key provided: sk-abcd*****wxyz.", "wxyz"),
    "a bearer token": ("Authorization: Bearer abc.def-123", "abc.def-123"),
    "a lower-case bearer token": ("authorization: bearer abcdef", "abcdef"),
    "basic credentials": ("Basic dXNlcjpwYXNz was refused", "dXNlcjpwYXNz"),
    "x-api-key as a header": ("x-api-key: 0123456789abcdef", "0123456789abcdef"),
    "X-API-Key in a printed dict": ("{'X-API-Key': 'plainsecret'}", "plainsecret"),
    "a key in JSON": ('{"apiKey":"plainsecret","model":"m"}', "plainsecret"),
    "a key in an address": ("GET /v1/models?key=plainsecret&page=2", "plainsecret"),
    "a password in an address": ("postgres://user:hunter22@db:5432/x", "hunter22"),
    "a password in a setting": ("password=hunter22 host=db", "hunter22"),
    "a cookie": ("Cookie: a=hunter22; b=hunter23", "hunter23"),
    "our own key": ("tidy-Zm9vYmFyYmF6cXV4 is wrong", "Zm9vYmFyYmF6cXV4"),
    "a Google key": ("key AIzaSyA1234567890abcdef refused", "SyA1234567890abcdef"),
    "an Amazon key": ("credential AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "a Groq key": ("gsk_0123456789abcdef", "0123456789abcdef"),
    "a web token": ("got eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJ", "eyJzdWIiOiIx"),
}


@pytest.mark.parametrize(("text", "secret"), HIDES.values(), ids=HIDES.keys())
def test_hides(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert HIDDEN in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "the provider is busy; try again in 2.5 s.",
        "risk-averse task-management with input_tokens=812 and max_tokens: 5",
        "model 'gpt-5.1' at http://127.0.0.1:9001/v1/chat/completions",
        "run 0af7651916cd43dd8448eb211c80319c path outer/inner#2",
        "the basics, and a bearer",
    ],
)
def test_leaves_plain_text_alone(text: str) -> None:
    assert redact(text) == text


@given(st.text(), st.text(string.ascii_letters + string.digits + "-_", min_size=4), st.text())
def test_no_surroundings_make_a_key_pass(before: str, rest: str, after: str) -> None:
    clean = redact(f"{before} sk-QQ{rest}QQ {after}")
    assert f"QQ{rest}QQ" not in clean.replace(before, "").replace(after, "")


@given(st.text(st.sampled_from("sk-_ =:/@\"'eyJ.BasicBearer?&tokenapikey*\n"), max_size=60))
def test_hiding_twice_is_hiding_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_a_field_with_the_name_of_a_secret_is_hidden_whatever_it_holds() -> None:
    value = {"X-Api-Key": "plain", "nested": [{"password": 5}, f"is {SECRET}"], "input_tokens": 7, "ok": None}
    assert redact_value("headers", value) == {
        "X-Api-Key": HIDDEN,
        "nested": [{"password": HIDDEN}, f"is {HIDDEN}"],
        "input_tokens": 7,
        "ok": None,
    }


def test_what_is_no_text_is_hidden_in_its_text() -> None:
    assert redact_value("error", ValueError(f"bad {SECRET}")) == f"bad {HIDDEN}"


def test_a_long_error_is_cut_after_its_keys_are_hidden() -> None:
    text = short(ValueError(f"{SECRET} " + "x" * 10_000), most=20)
    assert text == f"{HIDDEN} " + "x" * 16 + "…"
