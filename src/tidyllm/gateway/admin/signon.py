"""Sign-on and sign-off of people, and who asks. It knows cookies; the protocol is `access.sso`.

Between leaving for the identity provider and coming back, all that is known of the sign-on lies in a cookie of the
browser that began it: nothing is stored for those who never come back, and what another browser began is refused.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tidyllm.access import OIDC, Missing, Session, Sessions, csrf_token
from tidyllm.errors import AuthError, BadRequest
from tidyllm.gateway.admin.answers import HEADERS, answer
from tidyllm.gateway.admin.asked import CallbackQuery, LoginQuery, query
from tidyllm.gateway.admin.identity import Asker, Identity
from tidyllm.gateway.admin.operation import Operation
from tidyllm.gateway.admin.shapes import Me

__all__ = ["cookie_names", "signon_operations"]

_SECONDS = 600
"""To sign on at the provider."""


class _Begun(msgspec.Struct, array_like=True):
    state: str
    nonce: str
    verifier: str
    return_to: str


def cookie_names(sso: OIDC | None) -> tuple[str, str]:
    """Of the session and of a sign-on that has begun. `__Host-` keeps other hosts of the domain from setting them."""
    before = "__Host-" if _is_https(sso) else ""
    return f"{before}tidyllm_session", f"{before}tidyllm_signon"


def _is_https(sso: OIDC | None) -> bool:
    return sso is None or sso.settings.redirect_uri.startswith("https:")


def signon_operations(sso: OIDC | None, sessions: Sessions, identity: Identity) -> list[Operation]:
    """`/admin/v1/login`, `callback`, `logout` and `me`."""
    session_cookie, signon_cookie = cookie_names(sso)

    def keep(response: Response, name: str, value: str, seconds: float) -> None:
        response.set_cookie(
            name, value, max_age=int(seconds), path="/", secure=_is_https(sso), httponly=True, samesite="lax"
        )

    def drop(response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=_is_https(sso), httponly=True, samesite="lax")

    def configured() -> OIDC:
        if sso is None:
            raise Missing("sign-on is not configured here.", hint="Use an admin key.")
        return sso

    async def login(request: Request, asker: Asker | None) -> Response:
        begun = await configured().begin()
        asked = query(request, LoginQuery)
        kept = _Begun(begun.state, begun.nonce, begun.verifier, asked.return_to)
        response = RedirectResponse(begun.url, 302, HEADERS)
        keep(response, signon_cookie, urlsafe_b64encode(msgspec.json.encode(kept)).decode(), _SECONDS)
        return response

    async def callback(request: Request, asker: Asker | None) -> Response:
        provider = configured()
        asked = query(request, CallbackQuery)
        begun = _begun(request.cookies.get(signon_cookie, ""))
        state = "" if asked.state is msgspec.UNSET else asked.state
        if begun is None or not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise AuthError(
                "this sign-on was not begun in this browser, or took too long.",
                hint="Begin at /admin/v1/login.",
            )
        if asked.error is not msgspec.UNSET or asked.code is msgspec.UNSET:
            raise AuthError(
                "the identity provider refused the sign-on.", hint="Begin again at /admin/v1/login."
            )
        issuer = None if asked.iss is msgspec.UNSET else asked.iss
        person = await provider.finish(asked.code, nonce=begun.nonce, verifier=begun.verifier, issuer=issuer)
        secret = await sessions.begin(person, ip=identity.client_ip(request))
        response = RedirectResponse(_local(begun.return_to), 302, HEADERS)
        drop(response, signon_cookie)
        keep(response, session_cookie, secret, sessions.seconds)
        return response

    async def logout(request: Request, asker: Asker | None) -> Response:
        assert asker is not None
        if asker.secret is not None:
            await sessions.end(asker.secret, by=asker.actor)
        response = Response(None, 204, HEADERS)
        drop(response, session_cookie)
        return response

    async def me(request: Request, asker: Asker | None) -> Response:
        assert asker is not None
        session: Session | None = asker.session
        token = None if asker.secret is None else csrf_token(asker.secret)
        until = None if session is None else session.expires_at
        return answer(Me(asker.actor.name, asker.actor.kind, asker.actor.role, token, until))

    return [
        Operation(
            method="GET",
            path="/admin/v1/me",
            name="me",
            summary="Who asks, with which role",
            handler=me,
            tag="me",
            answer=Me,
        ),
        Operation(
            method="GET",
            path="/admin/v1/login",
            name="login",
            summary="Go to the identity provider to sign on",
            handler=login,
            tag="me",
            status=302,
            query=LoginQuery,
            open=True,
            errors=(404,),
        ),
        Operation(
            method="GET",
            path="/admin/v1/callback",
            name="callback",
            summary="Come back from the identity provider",
            handler=callback,
            tag="me",
            status=302,
            query=CallbackQuery,
            open=True,
            errors=(401, 403, 404),
        ),
        Operation(
            method="POST",
            path="/admin/v1/logout",
            name="logout",
            summary="End the session; a key stays what it is",
            handler=logout,
            tag="me",
            status=204,
        ),
    ]


def _begun(text: str) -> _Begun | None:
    try:
        return msgspec.json.decode(urlsafe_b64decode(text.encode("ascii")), type=_Begun)
    except (ValueError, msgspec.MsgspecError):  # binascii's and Unicode's errors are ValueErrors
        return None


def _local(path: str) -> str:
    """The cookie may have been written by anybody who sits at the browser: it leads nowhere but here."""
    if (
        not path.startswith("/")
        or path.startswith(("//", "/\\"))
        or not path.isascii()
        or not path.isprintable()
    ):
        raise BadRequest("return_to must be a path of this server.", field="return_to")
    return path
