"""A server's side of TLS, with certificates made for the test."""

from __future__ import annotations

import ssl
import tempfile

import trustme

__all__ = ["server_side"]


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server whose certificate is for these names, or else for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*(names or ("127.0.0.1",)))
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.private_key_and_cert_chain_pem.bytes())
        file.flush()
        context.load_cert_chain(file.name)
    return context
