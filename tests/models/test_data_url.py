"""Base64 is decoded only where encoding it again gives the same text."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.models.data_url import data_url, decode_data_url, exact_base64, image_type, read_data_url


@given(st.binary())
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert exact_base64(base64.b64encode(data).decode()) == data
    assert decode_data_url(data_url(data, "image/png")) == ("image/png", data)


@given(st.text(alphabet="AQgwZ/+=-_ \n"))
def test_a_text_that_is_decoded_comes_back(text: str) -> None:
    data = exact_base64(text)
    assert data is None or base64.b64encode(data).decode() == text


@pytest.mark.parametrize("payload", ["AB", "AB==AB==", "QR==", "QQ", "Q Q=", "é"])
def test_other_spellings_are_left_alone(payload: str) -> None:
    assert exact_base64(payload) is None


@pytest.mark.parametrize(
    "url",
    ["https://a/b.png", "data:,hello", "data:;base64,AAAA", "data:a/b;x=1;base64,AAAA", "data:a/b;base64,A"],
)
def test_other_urls_are_left_alone(url: str) -> None:
    assert decode_data_url(url) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"", None),
    ],
)
def test_an_image_is_known_by_its_first_bytes(data: bytes, expected: str | None) -> None:
    assert image_type(data) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGk=", (b"hi", "image/png")),
        ("data:Image/PNG;charset=x;base64,aG\nk=", (b"hi", "image/png")),
        ("data:,a%20b", (b"a b", None)),
        ("data:text/plain,a", (b"a", "text/plain")),
    ],
)
def test_a_data_url_in_any_spelling_is_read(url: str, expected: tuple[bytes, str | None]) -> None:
    assert read_data_url(url) == expected


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:image/png;base64,a"])
def test_a_broken_data_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"comma|base64|padd|character"):
        read_data_url(url)
