"""Who asks the admin API: the master key, a key with a role, or somebody who signed on. It knows no acts.

A key travels in a header, which no other site can make a browser send. A session travels in a cookie, which any site
can: whatever changes something must then bring the session's token in `x-csrf-token` as well.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

import msgspec
from starlette.requests import Request

from tidyllm.access import Actor, Forbidden, Keys, Role, Session, Sessions, check, csrf_token
from tidyllm.access.secret import MARK
from tidyllm.errors import AuthError
from tidyllm.gateway.auth import Authenticator, sent_keys

__all__ = ["Asker", "Identity"]

_SAFE = ("GET", "HEAD", "OPTIONS")


class Asker(msgspec.Struct, frozen=True):
    """Who asks. `secret` and `session` are those of a session, if it is one."""

    actor: Actor
    secret: str | None = None
    session: Session | None = None


class Identity:
    """Tells who asks. `master` knows the master key; `cookie` is the name of the session's cookie."""

    def __init__(
        self,
        keys: Keys,
        sessions: Sessions,
        *,
        master: Authenticator | None,
        cookie: str,
        client_ip: Callable[[Request], str | None],
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._master = master
        self.cookie = cookie
        self.client_ip = client_ip

    async def of(self, request: Request) -> Asker:
        """:raises AuthError: nobody, or somebody unknown. :raises Forbidden: a key without a role, or no CSRF token."""
        ip = self.client_ip(request)
        sent = list(sent_keys(request.headers))
        for key in sent:
            if key.startswith(MARK):
                return Asker(await self._of_key(key, request.url.path, ip))
        if sent:
            if self._master is None:
                raise AuthError("the API key is wrong.", hint="Use a key with a role.")
            caller = await self._master(request.headers)
            return Asker(Actor(name=caller.name, kind="master", role=Role.ADMIN, ip=ip))
        secret = request.cookies.get(self.cookie)
        session = await self._sessions.find(secret) if secret else None
        if not secret or session is None:
            raise AuthError(
                "nobody is signed on, and no API key was sent.",
                hint="Send 'Authorization: Bearer KEY', or sign on at /admin/v1/login.",
            )
        if request.method not in _SAFE:
            token = request.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(token.encode("utf-8", "replace"), csrf_token(secret).encode()):
                raise Forbidden(
                    "the header x-csrf-token is missing or wrong.",
                    what="csrf",
                    hint="Send csrf_token of /admin/v1/me in it.",
                )
        actor = Actor(name=session.name, kind="sso", role=session.role, ip=ip)
        return Asker(actor, secret, session)

    async def _of_key(self, secret: str, path: str, ip: str | None) -> Actor:
        key = await self._keys.find(secret)
        if key.role is None:
            raise Forbidden(
                f"key {key.prefix}… has no role on the admin side.", what="role", hint="Ask an admin."
            )
        check(key, endpoint=path, ip=ip or "")
        return Actor(name=key.id, kind="key", role=key.role, ip=ip)
