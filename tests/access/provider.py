"""An OpenID Connect provider on the loopback: discovery, keys, authorization code with PKCE. It believes anybody.

What it says about a person, and what it does wrong, a test decides.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tidyllm import clock

__all__ = ["CLIENT", "SECRET", "Provider", "provider"]

CLIENT, SECRET = "tidyllm-console", "the client's secret: ü/+="


@dataclass
class Provider:
    """Where it is, and how it behaves. `claims` are laid over those of every token."""

    url: str
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    document: dict[str, Any] = field(default_factory=dict[str, Any])
    """Laid over the discovery document."""
    algorithm: str = "RS256"
    kid: str | None = "k1"
    sign_with: Any = None
    """Another key than the published one."""
    token: str | None = None
    """Given out instead of a right one."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    asked: list[str] = field(default_factory=list[str])

    def rotate(self) -> None:
        """A new signing key under a new name."""
        self.kid = f"k{secrets.token_hex(3)}"
        self._make()

    def _make(self) -> None:
        if self.algorithm.startswith("ES"):
            self.key: Any = ec.generate_private_key(ec.SECP256R1())
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def __post_init__(self) -> None:
        self._make()

    def public(self) -> dict[str, Any]:
        kind = ECAlgorithm if self.algorithm.startswith("ES") else RSAAlgorithm
        key: dict[str, Any] = kind.to_jwk(self.key.public_key(), as_dict=True)
        return {**key, "use": "sig"} | ({"kid": self.kid} if self.kid else {})

    def id_token(self, nonce: str) -> str:
        now = int(clock.now())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "user-1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": "ada@example.com",
            "roles": ["platform"],
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.kid} if self.kid else None
        key = self.sign_with if self.sign_with is not None else self.key
        return jwt.encode(claims, key, algorithm=self.algorithm, headers=headers)

    # -- HTTP

    async def discovery(self, request: web.Request) -> web.Response:
        self.asked.append("discovery")
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        return web.json_response(document | self.document)

    async def keys(self, request: web.Request) -> web.Response:
        self.asked.append("keys")
        return web.json_response({"keys": [self.public(), {"kty": "oct", "k": "AAAA", "kid": "shared"}]})

    async def authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        raise web.HTTPFound(f"{query['redirect_uri']}?code={code}&state={query['state']}")

    async def exchange(self, request: web.Request) -> web.Response:
        self.asked.append("token")
        form = {name: str(value) for name, value in (await request.post()).items()}
        begun = self.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        right = (
            begun is not None
            and form["grant_type"] == "authorization_code"
            and challenge == begun["code_challenge"]
            and form["redirect_uri"] == begun["redirect_uri"]
            and self._client(request, form)
        )
        if not right or begun is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.token or self.id_token(begun["nonce"])
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def _client(self, request: web.Request, form: dict[str, str]) -> bool:
        from urllib.parse import unquote

        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
            return (unquote(name), unquote(secret)) == (CLIENT, SECRET)
        return form.get("client_secret") == SECRET


@asynccontextmanager
async def provider(**how: Any) -> AsyncGenerator[Provider]:
    """A provider that is being served until the end of the block."""
    made = Provider("", **how)
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.discovery)
    app.router.add_get("/keys", made.keys)
    app.router.add_get("/authorize", made.authorize)
    app.router.add_post("/token", made.exchange)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
