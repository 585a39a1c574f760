"""The pool carries a call where it can; aiohttp has the rest."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.models.raw_server import OK, each, serve
from tests.models.transports import post
from tidyllm.models.http_choice import ChoosingTransport
from tidyllm.models.http_settings import HTTPSettings
from tidyllm.models.proxy import Proxies

PROGRAM = """
import asyncio, sys
{before}
from tests.models.transports import post
from tidyllm.models.http_choice import ChoosingTransport
print(asyncio.run(post(ChoosingTransport(), sys.argv[1])), *sorted({{"aiohttp", "httptools"}} & {{*sys.modules}}))
"""


@pytest.mark.parametrize(
    ("before", "used"), [("", "httptools"), ("sys.modules['httptools'] = None", "aiohttp httptools")]
)
async def test_without_the_parser_aiohttp_takes_over(before: str, used: str) -> None:
    program = PROGRAM.replace("from tests.models.transports import post", POST).format(before=before)
    async with serve(each(OK)) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, server.url, stdout=subprocess.PIPE
        )
        assert (await process.communicate())[0].decode().split(maxsplit=1) == ["b'{}'", f"{used}\n"]


POST = """
from tidyllm.models.http import HTTPCall
async def post(transport, url):
    async with await transport.send(HTTPCall("POST", url)) as answer:
        return await answer.read()
"""


async def test_a_transport_in_use_closes_all_it_opened() -> None:
    async with serve(each(OK)) as server, serve(each(OK)) as proxy:
        transport = ChoosingTransport(HTTPSettings(proxies=Proxies({"http": f"127.0.0.1:{proxy.port}"})))
        assert await post(transport, server.url) == b"{}"
        assert await post(transport, "http://api.example/") == b"{}"
        await transport.aclose()
        while not (server.left and proxy.left):
            await asyncio.sleep(0)
