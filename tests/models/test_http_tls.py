"""Every transport: certificates are always checked, and an encrypted connection behaves as a plain one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import trustme

from tests.models.raw_server import OK, Connection, answer, each, serve
from tests.models.tls import server_side
from tests.models.transports import NAMES, TRANSPORTS, Make, post
from tidyllm.errors import ConfigError, ModelError, Unreachable
from tidyllm.models.http import HTTPCall

pytestmark = pytest.mark.parametrize("make", TRANSPORTS, ids=NAMES)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_a_trusted_server_is_called_over_one_kept_connection(
    make: Make, authority: trustme.CA, ca_file: str
) -> None:
    async with serve(each(answer(b"x" * 100_000)), tls=server_side(authority)) as server:
        transport = make(ca_file=ca_file)
        assert [len(await post(transport, server.url, b"y" * 100_000)) for _ in range(3)] == [100_000] * 3
        assert server.connections == 1
        assert server.requests[2].body == b"y" * 100_000


async def test_an_unknown_authority_is_refused_and_not_tried_again(make: Make, authority: trustme.CA) -> None:
    async with serve(each(OK), tls=server_side(authority)) as server:
        with pytest.raises(Unreachable, match=r"certificate of 127.0.0.1:.* is not trusted") as caught:
            await post(make(), server.url)
        assert "SSL_CERT_FILE" in caught.value.hint
        assert not caught.value.retryable
        assert not server.requests


async def test_a_certificate_for_another_host_is_refused(
    make: Make, authority: trustme.CA, ca_file: str
) -> None:
    async with serve(each(OK), tls=server_side(authority, "other.example")) as server:
        with pytest.raises(Unreachable, match=r"is not trusted: .*mismatch"):
            await post(make(ca_file=ca_file), server.url)
        assert not server.requests


async def test_ssl_cert_file_names_the_authorities(make: Make, authority: trustme.CA, ca_file: str) -> None:
    program = (
        "import asyncio, sys; from tests.models.transports import TRANSPORTS, post;"
        f"make = TRANSPORTS[{TRANSPORTS.index(make)}];"
        "print(asyncio.run(post(make(), sys.argv[1])))"
    )
    async with serve(each(OK), tls=server_side(authority)) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", program, server.url),
            env={**os.environ, "SSL_CERT_FILE": ca_file},
            stdout=asyncio.subprocess.PIPE,
        )
        assert (await process.communicate())[0] == b"b'{}'\n"


async def test_http_to_a_port_that_speaks_https_is_an_error_of_ours(
    make: Make, authority: trustme.CA
) -> None:
    async with serve(each(OK), tls=server_side(authority)) as server:
        server.scheme = "http"
        with pytest.raises(ModelError, match=f"127.0.0.1:{server.port}"):
            await post(make(), server.url)


async def test_https_to_a_port_that_speaks_http_is_unreachable(make: Make) -> None:
    async def handler(connection: Connection) -> None:
        await connection.reader.readexactly(10)
        await connection.write(answer(b"", status="400 Bad Request"))

    async with serve(handler) as server:
        server.scheme = "https"
        with pytest.raises(Unreachable, match=f"no TLS with 127.0.0.1:{server.port}"):
            await post(make(), server.url)


async def test_connecting_has_a_clock_of_its_own(make: Make) -> None:
    """The server accepts the connection and then says nothing, so that no agreement on TLS is reached."""

    async def handler(connection: Connection) -> None:
        await connection.left()

    async with serve(handler) as server:
        server.scheme = "https"
        with pytest.raises(Unreachable, match=r"no connection to 127\.0\.0\.1:\d+ within 0\.2 s"):
            await post(make(connect_seconds=0.2), server.url)


async def test_the_clock_for_connecting_does_not_limit_the_answer(make: Make) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.2)
        await connection.write(OK)

    async with serve(handler) as server:
        assert await post(make(connect_seconds=0.1), server.url) == b"{}"


async def test_an_encrypted_body_that_is_cut_is_unreachable(
    make: Make, authority: trustme.CA, ca_file: str
) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await asyncio.sleep(0.01)
        connection.reset()

    async with serve(handler, tls=server_side(authority)) as server:
        got = await make(ca_file=ca_file).send(HTTPCall("POST", server.url))
        chunks = got.chunks()
        assert await anext(chunks) == b"hello"
        with pytest.raises(Unreachable, match="after 5 bytes"):
            await anext(chunks)


async def test_a_file_without_certificates_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=f"ca_file: '.*{name}' is no file of certificates"):
            await post(make(ca_file=str(tmp_path / name)), "https://127.0.0.1:9/")
