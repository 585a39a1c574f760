"""The words for what goes wrong on the wire, the same for every transport. Pure."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping

from tidyllm.errors import BadAnswer, Unreachable

__all__ = ["broken", "check_status", "cut", "malformed", "no_connection", "no_time", "no_tls", "reason"]


def no_connection(where: str, cause: BaseException | str) -> Unreachable:
    """Connecting failed: the name, the network, the port, TLS or the proxy."""
    if isinstance(cause, str):
        return _unsent(Unreachable(f"cannot connect to {where}: {cause}."))
    found: BaseException | None = cause
    while found is not None:
        if isinstance(found, ssl.SSLError):
            return no_tls(where, found)
        if isinstance(found, socket.gaierror):
            name = f"the host's name was not found ({reason(found)})"
            return _unsent(Unreachable(f"cannot connect to {where}: {name}."))
        found = found.__cause__
    return _unsent(Unreachable(f"cannot connect to {where}: {reason(cause)}."))


def no_tls(where: str, cause: ssl.SSLError) -> Unreachable:
    """The two sides do not agree on TLS. Only a certificate is worth a hint, and no second try."""
    if not isinstance(cause, ssl.SSLCertVerificationError):
        hint = "Does this port speak https, and is the URL right?"
        return _unsent(Unreachable(f"no TLS with {where}: {reason(cause)}.", hint=hint))
    error = Unreachable(
        f"the certificate of {where} is not trusted: {getattr(cause, 'verify_message', '') or reason(cause)}.",
        hint="For an authority of your own set SSL_CERT_FILE to its certificate, or pass ca_file.",
    )
    error.retryable = False
    return _unsent(error)


def no_time(where: str, seconds: float) -> Unreachable:
    """The clock for connecting ran out."""
    return _unsent(Unreachable(f"no connection to {where} within {seconds:g} s."))


def _unsent(error: Unreachable) -> Unreachable:
    error.sent = False
    return error


def broken(where: str, cause: BaseException | None = None) -> Unreachable:
    """The connection ended before any byte of an answer."""
    why = f" ({reason(cause)})" if cause is not None else ""
    return Unreachable(f"{where} closed the connection without an answer{why}.", hint="Try again.")


def cut(where: str, received: int, cause: BaseException | None = None) -> Unreachable:
    """The connection ended inside the answer, `received` bytes into its body."""
    why = f" ({reason(cause)})" if cause is not None else ""
    return Unreachable(
        f"the connection to {where} broke inside the answer, after {received:,} bytes of it{why}.",
        hint="Try again.",
    )


def malformed(where: str, what: str) -> BadAnswer:
    """What came is not HTTP."""
    return BadAnswer(
        f"{where} sent what is not HTTP: {what}.", hint="Check the scheme and the port of base_url."
    )


def check_status(where: str, status: int, headers: Mapping[str, str]) -> None:
    """:raises BadAnswer: a redirect, or a status that no answer to our calls may have. Neither is worth a retry."""
    if 200 <= status < 300 or 400 <= status < 600:
        return
    location = headers.get("location", "").partition("?")[0]
    if 300 <= status < 400 and location:
        error = BadAnswer(
            f"{where} redirects ({status}) to {location!r}; redirects are not followed, the key would go along.",
            status=status,
            hint="Set base_url to the new address.",
        )
    else:
        error = BadAnswer(f"{where} answered with status {status}.", status=status)
    error.retryable = False
    raise error


def reason(cause: BaseException) -> str:
    """The cause in a few words, without the class where there are words."""
    if isinstance(cause, (ssl.SSLError, socket.gaierror)) and cause.strerror:
        return cause.strerror
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)  # asyncio puts its own, longer words into `strerror`
    return str(cause) or type(cause).__name__
