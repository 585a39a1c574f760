"""Calls that AWS would accept: the server signs what it got by botocore's own signer, and compares."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import msgspec
import pytest

from tests.models.bedrock.wire import KEY, SECRET, environment
from tests.models.raw_server import Connection, Seen, serve
from tests.models.upstreams import json_body, play
from tidyllm import model
from tidyllm.errors import AuthError, ConfigError
from tidyllm.models.bedrock.model import BedrockModel
from tidyllm.models.model import Model

ANSWER: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}
OK = json_body(ANSWER, "x-amzn-requestid: r-1")
NAME = "bedrock/arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a b"


def root(url: str) -> str:
    return url.removesuffix("/v1/chat")


def signature(seen: Seen, secret: str, token: str | None = None) -> str:
    """The authorization of this request, as botocore's signer would have written it."""
    auth, requests, credentials = (
        cast_any(one) for one in (botocore.auth, botocore.awsrequest, botocore.credentials)
    )
    _, path, _ = seen.line.split()
    given = seen.headers["authorization"]
    region = given.partition("Credential=")[2].split("/")[2]
    signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: seen.headers[name] for name in signed if name != "host" and not name.startswith("x-amz")}
    url = f"http://{seen.headers['host']}{path}"
    request = requests.AWSRequest(method="POST", url=url, headers=headers, data=seen.body)
    signer = auth.SigV4Auth(credentials.Credentials(KEY, secret, token), "bedrock", region)
    when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request.headers["Authorization"]


def cast_any(value: Any) -> Any:
    return value


@pytest.mark.parametrize("token", [None, "session-token-0123456789"])
async def test_botocore_signs_what_arrived_with_the_same_signature(token: str | None) -> None:
    more = {} if token is None else {"AWS_SESSION_TOKEN": token}
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, **more):
        async with serve(play(OK)) as server:
            for text in ("Hi", "ü ☃ \n", "x" * 300_000):
                reply = await model(NAME, base_url=root(server.url), regions=["eu-west-1"])(text)
                seen = server.requests[-1]
                assert seen.headers["authorization"] == signature(seen, SECRET, token)
                assert "/eu-west-1/bedrock/aws4_request" in seen.headers["authorization"]
                assert seen.headers.get("x-amz-security-token") == token
    assert seen.line.split()[1].endswith("application-inference-profile%2Fa%20b/converse")
    assert (reply.request_id, reply.cost_usd, reply.model) == ("r-1", None, NAME.partition("/")[2])


async def test_a_wrong_secret_gives_another_signature() -> None:
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        async with serve(play(OK)) as server:
            await model("bedrock/a.b", base_url=root(server.url))("Hi")
    assert server.requests[0].headers["authorization"] != signature(server.requests[0], SECRET + "x")


async def asked(variables: Mapping[str, str], **given: Any) -> Seen:
    """The request as it arrives with these variables set."""
    with environment(**variables):
        async with serve(play(OK)) as server:
            one: Model = model("bedrock/a.b", base_url=root(server.url), **given)
            await one("Hi")
            return server.requests[0]


async def test_credentials_come_from_profiles_and_from_programs(tmp_path: Path) -> None:
    said = {"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": SECRET, "SessionToken": "tok-1"}
    (tmp_path / "say.json").write_bytes(msgspec.json.encode(said))
    program = f"{sys.executable} -c \"print(open('{tmp_path}/say.json').read())\""
    (tmp_path / "config").write_text(
        f"[profile ours]\nregion = eu-north-1\n[profile program]\ncredential_process = {program}\n"
    )
    (tmp_path / "credentials").write_text(
        f"[ours]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = {SECRET}\n"
    )
    files = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    ours = await asked(files, profile="ours")
    assert "Credential=AKIAPROFILE/" in ours.headers["authorization"]
    by_name = await asked({**files, "AWS_PROFILE": "ours"})
    assert "Credential=AKIAPROFILE/" in by_name.headers["authorization"]
    program_s = await asked(files, profile="program")
    assert "Credential=AKIAPROGRAM/" in program_s.headers["authorization"]
    assert program_s.headers["x-amz-security-token"] == "tok-1"
    with environment(**files, AWS_BEARER_TOKEN_BEDROCK=""):
        found = model("bedrock/a.b", profile="ours")
        assert isinstance(found, BedrockModel)
        assert found.regions == ("eu-north-1",)


async def test_a_container_s_own_service_gives_credentials() -> None:
    body = {
        "AccessKeyId": "AKIACONTAINER",
        "SecretAccessKey": SECRET,
        "Token": "t",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    async with serve(play(json_body(body))) as metadata:
        seen = await asked({"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{root(metadata.url)}/role"})
    assert "Credential=AKIACONTAINER/" in seen.headers["authorization"]
    assert len(metadata.requests) == 1


async def test_a_bearer_token_is_sent_instead_of_a_signature() -> None:
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    for seen in (
        await asked({**keys, "AWS_BEARER_TOKEN_BEDROCK": "bed-1"}),
        await asked(keys, api_key="bed-1"),
    ):
        assert seen.headers["authorization"] == "Bearer bed-1"
        assert "x-amz-date" not in seen.headers


async def test_a_token_of_the_environment_goes_to_no_server_of_another_name() -> None:
    with environment(AWS_BEARER_TOKEN_BEDROCK="bed-1", AWS_REGION="us-east-1"):
        assert model("bedrock/a.b").provider.api_key == "bed-1"
        vpc = "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"
        assert model("bedrock/a.b", base_url=vpc).provider.api_key == "bed-1"
        assert model("bedrock/a.b", base_url="https://proxy.example").provider.api_key is None


async def test_without_credentials_nothing_is_sent() -> None:
    with environment():
        async with serve(play(OK)) as server:
            with pytest.raises(AuthError, match="no AWS credentials") as caught:
                await model("bedrock/a.b", base_url=root(server.url))("Hi")
    assert server.requests == []
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)


async def refused(config: str, tmp_path: Path, **variables: str) -> str:
    """What is said of these credentials; nothing is sent with them."""
    (tmp_path / "config").write_text(config)
    with environment(AWS_CONFIG_FILE=str(tmp_path / "config"), **variables):
        async with serve(play(OK)) as server:
            with pytest.raises(AuthError) as caught:
                await model("bedrock/a.b", base_url=root(server.url))("Hi")
    assert server.requests == []
    return str(caught.value)


async def test_credentials_that_are_empty_or_half_are_said_to_be(tmp_path: Path) -> None:
    empty = "[default]\naws_access_key_id =\naws_secret_access_key =\n"
    assert "from config-file have an empty access key" in await refused(empty, tmp_path)
    blank = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": " "}
    assert "from env have an empty secret key" in await refused("", tmp_path, **blank)
    half = await refused("", tmp_path, AWS_ACCESS_KEY_ID=KEY)
    assert "AWS_SECRET_ACCESS_KEY is missing" in half


@pytest.mark.parametrize("said", (f"no JSON but {SECRET}", f'["{SECRET}"]', "{}"))
async def test_what_a_program_says_wrong_is_an_error_that_does_not_repeat_it(
    said: str, tmp_path: Path
) -> None:
    (tmp_path / "said").write_text(said)
    program = f"{sys.executable} -c \"print(open('{tmp_path}/said').read())\""
    words = await refused(f"[default]\ncredential_process = {program}\n", tmp_path)
    assert "credentials cannot be had" in words
    assert SECRET not in words


async def test_an_unknown_profile_is_named() -> None:
    words = "no profile 'gone' in AWS's files, which AWS_PROFILE names"
    with environment(AWS_PROFILE="gone"), pytest.raises(ConfigError, match=words):
        await model("bedrock/a.b", base_url="http://127.0.0.1:1")("Hi")
    with environment():
        with pytest.raises(ConfigError, match="no profile 'nope'"):
            await model("bedrock/a.b", base_url="http://127.0.0.1:1", profile="nope")("Hi")
        with pytest.raises(ConfigError, match="no region"):
            model("bedrock/a.b")


async def test_what_aws_quotes_of_the_signature_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    token = "FwoGZXIvYXdzEXAMPLEsession"
    authorizations: list[str] = []

    async def quoting(connection: Connection) -> None:
        seen = await connection.request()
        authorizations.append(seen.headers["authorization"])
        quoted = "\n".join(f"{name}:{value}" for name, value in seen.headers.items())
        words = f"The Canonical String should have been\n'POST\n{quoted}'\n{SECRET}"
        await connection.write(
            json_body(
                {"message": words}, "x-amzn-errortype: InvalidSignatureException", status="403 Forbidden"
            )
        )

    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=token):
        async with serve(quoting) as server:
            with caplog.at_level(logging.DEBUG), pytest.raises(AuthError, match="Canonical") as caught:
                await model("bedrock/a.b", base_url=root(server.url))("Hi")
    said = f"{caught.value}{caught.value!r}{vars(caught.value)}{caught.value.args}{caplog.text}"
    for hidden in (KEY, SECRET, token, authorizations[0].rpartition("=")[2]):
        assert hidden not in said


async def test_refused_credentials_are_looked_for_again() -> None:
    expired = json_body(
        {"message": "expired"}, "x-amzn-errortype: ExpiredTokenException", status="403 Forbidden"
    )
    with environment(AWS_ACCESS_KEY_ID="AKIAFIRST", AWS_SECRET_ACCESS_KEY=SECRET) as _:
        async with serve(play(expired, OK)) as server:
            one = model("bedrock/a.b", base_url=root(server.url))
            with pytest.raises(AuthError, match="have expired"):
                await one("Hi")
            with environment(AWS_ACCESS_KEY_ID="AKIASECOND", AWS_SECRET_ACCESS_KEY=SECRET):
                assert (await one("Hi")).text == "Hello."
    assert "AKIASECOND/" in server.requests[1].headers["authorization"]
