"""Sign-on of people by OpenID Connect: authorization code with PKCE. It knows the protocol, not cookies or the network.

The provider's addresses come from its discovery document, its keys from there; both are kept for an hour. A token is
believed when its signature, issuer, audience, times and nonce are right, and its algorithm has a public key: `none` and
the ones with a shared secret are refused.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from tidyllm import clock
from tidyllm.access.problems import Forbidden, SignOnDown
from tidyllm.access.roles import Role
from tidyllm.errors import AuthError, ConfigError, TidyllmError

__all__ = ["OIDC", "Fetch", "Login", "OIDCSettings", "Person"]

Fetch: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""Sends method, URL, headers and body, once; gives back status and body. It may raise any of our errors."""

_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_KEPT = 3600.0
_AGAIN = 10.0
"""Seconds between two looks for a signing key that is not known: anybody can send a token with a new name."""
_LEEWAY = 60
"""Seconds by which the provider's clock may differ from ours."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class OIDCSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people sign on.

    `roles` gives a role to each value that the claim may have, `{"platform-team": "admin"}`; of several the highest
    counts. Whoever has none of them gets `default_role`, or is refused without one.
    """

    issuer: str
    client_id: str
    redirect_uri: str
    """`https://HOST/admin/v1/callback`, as it is registered with the provider."""
    client_secret: str | None = None
    """None: a public client, for which PKCE alone must do."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    roles_claim: str = "roles"
    """Dots lead inside: `realm_access.roles`."""
    roles: dict[str, Role] = {}
    default_role: Role | None = None
    name_claim: str = "email"
    """What the audit log calls the person; `sub` where the claim is missing."""

    # The secret belongs into no log and no traceback.
    def __repr__(self) -> str:
        return f"OIDCSettings(issuer={self.issuer!r}, client_id={self.client_id!r})"


class Login(msgspec.Struct, frozen=True):
    """A sign-on that has begun. All but `url` stays with the browser that began it."""

    url: str
    state: str
    nonce: str
    verifier: str


class Person(msgspec.Struct, frozen=True):
    """Somebody whom the provider vouches for."""

    name: str
    subject: str
    role: Role


class _Provider(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class OIDC:
    """Sign-on with one provider. `fetch` carries its requests.

    :raises ConfigError: an address is not https (http is for the loopback), or no role can come out of it.
    """

    def __init__(self, settings: OIDCSettings, fetch: Fetch) -> None:
        for name in ("issuer", "redirect_uri"):
            if not _secure(getattr(settings, name)):
                raise ConfigError(
                    f"{getattr(settings, name)[:200]!r} must be an https:// address.",
                    where=f"sso.{name}",
                    hint="http:// is for the loopback only.",
                )
        if not settings.roles and settings.default_role is None:
            raise ConfigError(
                "nobody could sign on: no value of the claim has a role, and there is no default_role.",
                where="sso.roles",
            )
        if "openid" not in settings.scopes:
            raise ConfigError("the scopes must have 'openid' among them.", where="sso.scopes")
        self.settings = settings
        self._fetch = fetch
        self._provider: tuple[float, _Provider] | None = None
        self._keys: tuple[float, dict[str | None, dict[str, Any]]] | None = None

    async def begin(self) -> Login:
        """Where to send the browser, and what it must bring back.

        :raises SignOnDown: the provider cannot be asked for its addresses.
        """
        provider = await self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.settings.client_id,
                "redirect_uri": self.settings.redirect_uri,
                "scope": " ".join(self.settings.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
        return Login(f"{provider.authorization_endpoint}{joint}{query}", state, nonce, verifier)

    async def finish(self, code: str, *, nonce: str, verifier: str, issuer: str | None = None) -> Person:
        """Who came back with `code`. `issuer`: the parameter `iss` of the way back, if there was one.

        :raises AuthError: the provider does not take the code, or its token is not right.
        :raises Forbidden: the person has no role here.
        :raises SignOnDown: the provider cannot be asked.
        """
        provider = await self._discovered()
        if issuer is None and provider.authorization_response_iss_parameter_supported:
            raise AuthError("sign-on failed: the answer does not say who gave it.", hint="Sign on again.")
        if issuer is not None and issuer != provider.issuer:
            raise AuthError("sign-on failed: the answer is another provider's.", hint="Sign on again.")
        token = await self._token(provider, code, verifier)
        claims = await self._claims(provider, token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise AuthError("sign-on failed: the token is for another sign-on.", hint="Sign on again.")
        return self._person(claims)

    async def _token(self, provider: _Provider, code: str, verifier: str) -> str:
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if settings.client_secret is not None:
            if "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
                pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
                headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form["client_secret"] = settings.client_secret
        status, body = await self._send("POST", provider.token_endpoint, headers, urlencode(form).encode())
        if status in (400, 401, 403):
            raise AuthError("sign-on failed: the provider does not take this code.", hint="Sign on again.")
        answer = _read(status, body, dict[str, Any], "token endpoint")
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SignOnDown("the identity provider's token endpoint gave no id_token.")
        return token

    async def _claims(self, provider: _Provider, token: str) -> dict[str, Any]:
        import jwt

        try:
            head = jwt.get_unverified_header(token)
            algorithm, name = str(head.get("alg")), head.get("kid")
            if algorithm not in _ALGORITHMS:
                raise _untrusted(f"its algorithm is {algorithm[:20]!r}")
            found = await self._key(provider, name if isinstance(name, str) else None)
            key = jwt.PyJWK(found, algorithm=algorithm)
            options: Any = {"require": ["exp", "iat", "iss", "aud", "sub"]}
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.settings.client_id,
                issuer=provider.issuer,
                leeway=_LEEWAY,
                options=options,
            )
        except jwt.PyJWTError as error:
            raise _untrusted(type(error).__name__) from error
        audience: object = claims["aud"]
        several = isinstance(audience, list) and len(cast("list[object]", audience)) > 1
        if several and claims.get("azp") != self.settings.client_id:
            raise _untrusted("it was made out to another client")
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        settings = self.settings
        found: object = claims
        for part in settings.roles_claim.split("."):
            found = cast("Mapping[str, object]", found).get(part) if isinstance(found, Mapping) else None
        values = cast("Sequence[object]", found) if isinstance(found, list) else [found]
        roles = [settings.roles[one] for one in values if isinstance(one, str) and one in settings.roles]
        if settings.default_role is not None:
            roles.append(settings.default_role)
        subject = str(claims["sub"])
        name = claims.get(settings.name_claim)
        name = _one_line(name) if isinstance(name, str) and name else _one_line(subject)
        if not roles:
            raise Forbidden(
                f"{name!r} has no role here.",
                what="role",
                hint=f"The claim {settings.roles_claim!r} must have one of the values that the configuration names.",
            )
        order = list(Role)
        return Person(name, subject, max(roles, key=order.index))

    async def _discovered(self) -> _Provider:
        if self._provider is not None and self._provider[0] > clock.monotonic():
            return self._provider[1]
        issuer = self.settings.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        status, body = await self._send("GET", url, {"accept": "application/json"}, b"")
        provider = _read(status, body, _Provider, "discovery document")
        if provider.issuer != issuer:
            raise SignOnDown(f"the discovery document is of {provider.issuer[:200]!r}, not of {issuer!r}.")
        for address in (provider.authorization_endpoint, provider.token_endpoint, provider.jwks_uri):
            if not _secure(address):
                raise SignOnDown(f"the discovery document names {address[:200]!r}, which is not https.")
        self._provider = clock.monotonic() + _KEPT, provider
        return provider

    async def _key(self, provider: _Provider, name: str | None) -> dict[str, Any]:
        now = clock.monotonic()
        if self._keys is None or now - self._keys[0] > _KEPT:
            self._keys = now, await self._signing_keys(provider)
        if name not in self._keys[1] and now - self._keys[0] > _AGAIN:
            self._keys = now, await self._signing_keys(provider)  # the provider has a new one
        keys = self._keys[1]
        if name is None and len(keys) == 1:
            return next(iter(keys.values()))
        if name not in keys:
            raise _untrusted("its key is not one of the provider's")
        return keys[name]

    async def _signing_keys(self, provider: _Provider) -> dict[str | None, dict[str, Any]]:
        status, body = await self._send("GET", provider.jwks_uri, {"accept": "application/json"}, b"")
        answer = _read(status, body, dict[str, list[dict[str, Any]]], "key set")
        keys = [
            key
            for key in answer.get("keys", ())
            if key.get("use", "sig") == "sig" and key.get("kty") != "oct"
        ]
        return {key.get("kid"): key for key in keys}

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        try:
            return await self._fetch(method, url, headers, body)
        except SignOnDown:
            raise
        except TidyllmError as error:
            host = urlsplit(url).netloc
            raise SignOnDown(
                f"the identity provider at {host!r} cannot be asked: {type(error).__name__}."
            ) from error


def _read(status: int, body: bytes, kind: type[Any], what: str) -> Any:
    if status != 200:
        raise SignOnDown(f"the identity provider's {what} answered with {status}.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SignOnDown(f"the identity provider's {what} is not what OpenID Connect promises.") from error


def _untrusted(why: str) -> AuthError:
    return AuthError(f"sign-on failed: the provider's token is not right ({why}).", hint="Sign on again.")


def _secure(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _one_line(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:200] or "?"
