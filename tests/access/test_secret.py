"""Secrets of keys: told from made-up ones without a store, and never in clear."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidyllm.access.secret import digest, looks_right, new_id, new_secret, prefix


def test_a_new_secret_looks_right_and_no_two_are_alike() -> None:
    secrets = {new_secret(new_id()) for _ in range(500)}
    assert len(secrets) == 500
    assert all(looks_right(secret) for secret in secrets)


@given(st.integers(0, 62), st.sampled_from("0Zz-_ "))
def test_a_mistyped_secret_does_not_look_right(at: int, letter: str) -> None:
    secret = new_secret(new_id())
    typed = secret[:at] + letter + secret[at + 1 :]
    assert typed == secret or not looks_right(typed)


@given(st.text())
def test_any_text_can_be_hashed(text: str) -> None:
    assert len(digest(text)) == 64
    assert not looks_right(text)


def test_the_prefix_names_the_key_and_leaves_enough_to_chance() -> None:
    secret = new_secret("abcdefgh1234")
    assert prefix(secret).startswith("sk-tidy-abcdefgh1234-")
    assert len(secret) - len(prefix(secret)) > 32
