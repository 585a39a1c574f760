"""Every transport: calls through a real small proxy, by request and by tunnel."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from tests.models.raw_server import OK, Connection, Server, answer, each, serve
from tests.models.tls import server_side
from tests.models.transports import PROXYING, PROXYING_NAMES, Make, post
from tidyllm.errors import Unreachable
from tidyllm.models.proxy import Proxies

pytestmark = pytest.mark.parametrize("make", PROXYING, ids=PROXYING_NAMES)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def tunnelling(port: int) -> AsyncGenerator[tuple[Server, list[str]]]:
    """A proxy that connects every CONNECT to one port of the loopback; with it the lines it was asked with."""
    asked: list[str] = []

    async def handler(connection: Connection) -> None:
        line, headers = await connection.head()
        asked.append(f"{line} {headers.get('proxy-authorization', '')}".strip())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pipe(connection.reader, writer), pipe(reader, connection.writer))
        finally:
            writer.close()

    async with serve(handler) as proxy:
        yield proxy, asked


async def test_http_goes_to_the_proxy_with_its_whole_address(make: Make) -> None:
    async with serve(each(OK)) as proxy:
        proxies = Proxies({"http": f"http://user:p%40ss@127.0.0.1:{proxy.port}"})
        transport = make(proxies=proxies)
        for _ in range(2):
            assert await post(transport, "http://api.example/v1/chat?x=1") == b"{}"
    seen = proxy.requests[1]
    assert seen.line == "POST http://api.example/v1/chat?x=1 HTTP/1.1"
    assert seen.headers["host"] == "api.example"
    assert seen.headers["proxy-authorization"] == f"Basic {base64.b64encode(b'user:p@ss').decode()}"
    assert proxy.connections == 1


async def test_https_goes_through_a_tunnel_and_the_certificate_is_that_of_the_server(
    make: Make, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = server_side(authority, "api.example")
    async with serve(each(OK), tls=tls) as server, tunnelling(server.port) as (proxy, asked):
        proxies = Proxies({"https": f"http://user:pass@127.0.0.1:{proxy.port}"})
        transport = make(proxies=proxies, ca_file=str(tmp_path / "ca.pem"))
        for _ in range(2):
            assert await post(transport, "https://api.example/v1/chat") == b"{}"
        with pytest.raises(Unreachable, match=r"certificate of other.example:443 is not trusted"):
            await post(transport, "https://other.example/v1/chat")
        await transport.aclose()
    secret = base64.b64encode(b"user:pass").decode()
    assert asked == [f"CONNECT {host}.example:443 HTTP/1.1 Basic {secret}" for host in ("api", "other")]
    assert [seen.line for seen in server.requests] == ["POST /v1/chat HTTP/1.1"] * 2
    assert "proxy-authorization" not in server.requests[0].headers


async def test_a_proxy_that_refuses_is_named_without_its_password(make: Make) -> None:
    async with serve(each(answer(b"", status="407 Proxy Authentication Required"))) as proxy:
        transport = make(proxies=Proxies({"https": f"http://user:secret@127.0.0.1:{proxy.port}"}))
        with pytest.raises(
            Unreachable, match=r"cannot connect to api.example:443: the proxy refused it .407"
        ) as caught:
            await post(transport, "https://api.example/")
    assert "secret" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named(make: Make) -> None:
    async with serve(each(OK)) as proxy:
        pass
    transport = make(proxies=Proxies({"http": f"http://user:secret@127.0.0.1:{proxy.port}"}))
    with pytest.raises(Unreachable, match=f"its proxy 127.0.0.1:{proxy.port}: Connection refused") as caught:
        await post(transport, "http://api.example/")
    assert "secret" not in str(caught.value)


async def test_exceptions_and_the_loopback_are_called_directly(make: Make) -> None:
    async with serve(each(OK)) as server:
        transport = make(proxies=Proxies({"http": "http://127.0.0.1:9"}))
        assert await post(transport, server.url) == b"{}"
