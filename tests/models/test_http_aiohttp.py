"""What aiohttp can raise is told in our words, each class of it, and without the secrets that it carries."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tidyllm.errors import BadAnswer, ModelError, Unreachable
from tidyllm.models.http_aiohttp import harmless, mapped, mapped_in_body

KEY = ConnectionKey("api.example", 443, True, True, None, None, None)
SENT = CIMultiDictProxy(CIMultiDict({"authorization": "Bearer secret"}))
INFO = aiohttp.RequestInfo(URL("https://api.example/?key=secret"), "POST", SENT, URL("https://api.example/"))


def subclasses(of: type[Exception]) -> Iterator[type[Exception]]:
    yield of
    for one in of.__subclasses__():
        yield from subclasses(one)


def raised(kind: type[Exception]) -> Exception:
    """An error of this class, made as aiohttp makes it."""
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(KEY, ssl.SSLCertVerificationError(1, "certificate verify failed"))
    if issubclass(kind, UnixClientConnectorError):
        return kind("/socket", KEY, OSError(2, "missing"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(KEY, OSError(111, "Connect call failed"))
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(INFO, (), status=400, message="Bad\n  line", headers=CIMultiDict({"x": "secret"}))
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"1", b"2", "api.example", 443)
    return kind("reason")


CLASSES = {kind.__name__: kind for kind in subclasses(aiohttp.ClientError)}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_class_of_aiohttp_is_one_of_ours(kind: type[Exception]) -> None:
    error = raised(kind)
    for ours in (mapped(error, "api.example:443", 10.0), mapped_in_body(error, "api.example:443", 5)):
        assert isinstance(ours, (Unreachable, BadAnswer))
        assert "api.example:443" in ours.message
        assert "secret" not in f"{ours!r} {ours} {ours.__dict__} {harmless(error)!r}"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (raised(aiohttp.ClientConnectorError), Unreachable, "cannot connect to h:1: Connection refused"),
        (raised(aiohttp.ClientConnectorCertificateError), Unreachable, "certificate of h:1 is not trusted"),
        (raised(aiohttp.ConnectionTimeoutError), Unreachable, "no connection to h:1 within 3 s"),
        (
            raised(aiohttp.ClientProxyConnectionError),
            Unreachable,
            "its proxy api.example:443: Connection refused",
        ),
        (raised(aiohttp.ClientHttpProxyError), Unreachable, "the proxy refused it"),
        (
            raised(aiohttp.ServerDisconnectedError),
            Unreachable,
            "h:1 closed the connection without an answer. ",
        ),
        (raised(aiohttp.ClientResponseError), BadAnswer, "h:1 sent what is not HTTP: Bad line"),
        (ConnectionResetError(104, "x"), Unreachable, "without an answer (Connection reset by peer)"),
        (ssl.SSLError(1, "handshake"), Unreachable, "without an answer (handshake)"),
        (ValueError("odd"), Unreachable, "cannot connect to h:1: odd"),
    ],
)
def test_the_class_is_the_most_specific_one(error: Exception, kind: type[ModelError], words: str) -> None:
    ours = mapped(error, "h:1", 3.0)
    assert type(ours) is kind
    assert words in str(ours)
