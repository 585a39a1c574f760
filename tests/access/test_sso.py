"""Sign-on by OpenID Connect, against a provider on the loopback that does what it should, and what it should not."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.access.provider import CLIENT, SECRET, Provider, provider
from tidyllm.access import OIDC, Forbidden, OIDCSettings, Person, Role, SignOnDown
from tidyllm.errors import AuthError, ConfigError, TidyllmError, Unreachable
from tidyllm.testing import FakeClock


async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, data=body or None) as answer,
        ):
            return answer.status, await answer.read()
    except aiohttp.ClientError as error:
        raise Unreachable("nobody is there.") from error


def oidc(at: Provider, **settings: Any) -> OIDC:
    values: dict[str, Any] = {
        "issuer": at.url,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uri": "http://127.0.0.1:1/admin/v1/callback",
        "roles": {"platform": Role.OPERATOR, "chiefs": Role.ADMIN, "all": Role.VIEWER},
    }
    return OIDC(OIDCSettings(**(values | settings)), fetch)


async def sign_on(client: OIDC, **changed: str) -> Person:
    """The whole way round, as a browser would go it."""
    login = await client.begin()
    async with aiohttp.ClientSession() as session, session.get(login.url, allow_redirects=False) as answer:
        back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == [login.state]
    values = {"code": back["code"][0], "nonce": login.nonce, "verifier": login.verifier} | changed
    return await client.finish(values.pop("code"), **values)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256"])
async def test_a_person_is_who_the_provider_says(algorithm: str) -> None:
    async with provider(algorithm=algorithm) as at:
        person = await sign_on(oidc(at))
    assert person == Person("ada@example.com", "user-1", Role.OPERATOR)


async def test_the_provider_s_addresses_and_keys_are_asked_for_once() -> None:
    async with provider() as at:
        client = oidc(at)
        for _ in range(3):
            await sign_on(client)
        assert sorted(at.asked) == ["discovery", "keys", "token", "token", "token"]


@pytest.mark.parametrize(
    ("claims", "settings", "role"),
    [
        ({"roles": ["all", "chiefs", "unknown"]}, {}, Role.ADMIN),
        ({"roles": "all"}, {}, Role.VIEWER),
        ({"realm": {"roles": ["chiefs"]}}, {"roles_claim": "realm.roles"}, Role.ADMIN),
        ({"roles": None}, {"default_role": Role.VIEWER}, Role.VIEWER),
        ({"roles": [["chiefs"], 1, None]}, {"default_role": Role.VIEWER}, Role.VIEWER),
    ],
)
async def test_roles_come_from_a_claim(claims: dict[str, Any], settings: dict[str, Any], role: Role) -> None:
    async with provider(claims=claims) as at:
        assert (await sign_on(oidc(at, **settings))).role is role


@pytest.mark.parametrize("roles", [None, [], ["interns"], {"platform": True}, 7])
async def test_whoever_has_no_role_is_refused(roles: object) -> None:
    async with provider(claims={"roles": roles}) as at:
        with pytest.raises(Forbidden, match="has no role here"):
            await sign_on(oidc(at))


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another audience": {"aud": "somebody-else"},
    "two audiences without a word whose it is": {"aud": [CLIENT, "other"]},
    "made out to another client": {"aud": [CLIENT, "other"], "azp": "other"},
    "over": {"exp": 1_000_000_000},
    "from the future": {"iat": 4_000_000_000, "nbf": 4_000_000_000},
    "without an end": {"exp": None},
    "without a subject": {"sub": None},
    "another nonce": {"nonce": "replayed"},
    "no nonce": {"nonce": None},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
async def test_a_token_with_wrong_claims_is_not_believed(claims: dict[str, Any]) -> None:
    async with provider(claims=claims) as at:
        with pytest.raises(AuthError, match="sign-on failed"):
            await sign_on(oidc(at))


async def test_a_token_of_another_key_under_the_right_name_is_not_believed() -> None:
    async with provider() as at:
        at.sign_with = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with pytest.raises(AuthError, match="InvalidSignatureError"):
            await sign_on(oidc(at))


def part(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def unsigned(claims: dict[str, Any]) -> str:
    return (part(b'{"alg":"none","kid":"k1"}') + b"." + part(msgspec.json.encode(claims)) + b".").decode()


def by_public_key(claims: dict[str, Any], at: Provider) -> str:
    """Signed with the public key as if it were a shared secret: once believed by many libraries."""
    text = part(b'{"alg":"HS256","kid":"k1"}') + b"." + part(msgspec.json.encode(claims))
    key = msgspec.json.encode(at.public())
    return (text + b"." + part(hmac.digest(key, text, sha256))).decode()


@pytest.mark.parametrize("forgery", ["none", "public key", "garbage", "shared"])
async def test_a_forged_token_is_not_believed(forgery: str) -> None:
    async with provider() as at:
        claims = jwt.decode(at.id_token("n"), options={"verify_signature": False})
        at.token = {
            "none": unsigned(claims),
            "public key": by_public_key(claims, at),
            "garbage": "a.b.c",
            "shared": jwt.encode(claims, b"\0" * 32, algorithm="HS256", headers={"kid": "shared"}),
        }[forgery]
        with pytest.raises(AuthError, match="token is not right"):
            await sign_on(oidc(at), nonce="n")


async def test_a_new_key_of_the_provider_is_looked_for_but_not_at_every_unknown_name() -> None:
    async with provider() as at:
        with FakeClock() as clock:
            at.claims = {"exp": 4_000_000_000, "iat": 1_700_000_000}
            client = oidc(at)
            await sign_on(client)
            at.rotate()
            with pytest.raises(AuthError, match="not one of the provider's"):
                await sign_on(client)
            clock.advance(11)
            await sign_on(client)
            assert at.asked.count("keys") == 2


async def test_a_code_is_good_once_and_only_with_its_verifier() -> None:
    async with provider() as at:
        for wrong in ({"code": "made-up"}, {"verifier": "made-up"}):
            with pytest.raises(AuthError, match="does not take this code"):
                await sign_on(oidc(at), **wrong)
        with pytest.raises(AuthError, match="another provider"):
            await sign_on(oidc(at), issuer="https://evil.example")


async def test_a_provider_that_wants_the_secret_in_the_body_gets_it_there() -> None:
    async with provider(document={"token_endpoint_auth_methods_supported": ["client_secret_post"]}) as at:
        assert (await sign_on(oidc(at))).subject == "user-1"
        with pytest.raises(AuthError):
            await sign_on(oidc(at, client_secret="wrong"))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": 7},
    ],
)
async def test_a_discovery_document_that_leads_astray_is_refused(document: dict[str, Any]) -> None:
    async with provider(document=document) as at:
        with pytest.raises(SignOnDown):
            await oidc(at).begin()


async def test_a_provider_that_is_away_is_named_and_no_secret_is_told() -> None:
    async with provider() as at:
        pass
    with pytest.raises(SignOnDown, match="cannot be asked") as caught:
        await oidc(at).begin()
    assert SECRET not in repr(caught.value) + repr(oidc(at).settings)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"issuer": "http://id.example.com"}, "sso.issuer"),
        ({"issuer": "https://id.example.com/\r\nx: y"}, "sso.issuer"),
        ({"redirect_uri": "ftp://127.0.0.1/"}, "sso.redirect_uri"),
        ({"roles": {}}, "sso.roles"),
        ({"scopes": ("profile",)}, "sso.scopes"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        oidc(Provider("https://id.example.com"), **settings)
    assert caught.value.where == where
    assert isinstance(caught.value, TidyllmError)
