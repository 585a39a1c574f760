"""AWS's signature (SigV4) on a call, and the credentials for it, both botocore's. It knows no bodies and no models.

botocore is imported at the first call. Credentials come from where it looks for them (environment, the files of
profiles, a program, single sign-on, a container's or machine's own service), in a thread: that may take time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

import msgspec

from tidyllm import clock
from tidyllm.errors import AuthError, ConfigError
from tidyllm.models.forward import LARGE_BYTES

__all__ = ["Signed", "Signer", "configured_region"]

_SERVICE: Final = "bedrock"
_ODD: Final = (AttributeError, KeyError, OSError, TypeError, ValueError)
"""What botocore lets out when a program or a file of credentials is not as it must be."""
_NO_CREDENTIALS: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK, name a profile of ~/.aws, or sign "
    "in with the aws command."
)


class Signed(msgspec.Struct, frozen=True):
    """What a signature adds to a call: never log it."""

    headers: dict[str, str]
    signature: str

    def __repr__(self) -> str:
        return "Signed(hidden)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return []


class Signer:
    """Signs the calls of one provider. It may be used from several event loops and threads at once."""

    def __init__(self, profile: str | None = None) -> None:
        self.profile = profile
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._frozen: Any = None
        self._known: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The secrets of the credentials in use and of those before them, to be hidden wherever they are quoted."""
        return self._known

    async def sign(self, url: str, headers: Mapping[str, str], body: bytes, region: str) -> Signed:
        """The headers that make this POST a signed one; `headers` are signed along.

        :raises AuthError: there are no credentials, or they cannot be had.
        :raises ConfigError: botocore is not installed, or there is no such profile.
        """
        if self._credentials is None or self._stale():
            await asyncio.to_thread(self._load)
        frozen = self._freeze()
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(_signed, frozen, url, headers, body, region)
        return _signed(frozen, url, headers, body, region)

    def forget(self) -> None:
        """Look for credentials again at the next call: these were refused."""
        with self._lock:
            self._credentials = None

    def _stale(self) -> bool:
        needed: Any = getattr(self._credentials, "refresh_needed", None)
        return needed is not None and bool(needed())

    def _load(self) -> None:
        with self._lock:
            if self._credentials is None:
                self._credentials = _found(self.profile)
            self._frozen = _had(self._credentials)
            self._remember()

    def _freeze(self) -> Any:
        with self._lock:
            if self._credentials is not None:
                self._frozen = self._frozen if self._stale() else _had(self._credentials)
                self._remember()
            return self._frozen

    def _remember(self) -> None:
        frozen = self._frozen
        now = tuple(one for one in (frozen.access_key, frozen.secret_key, frozen.token) if one)
        if now != self._known[: len(now)]:
            self._known = (*now, *self._known[:3])

    def __repr__(self) -> str:
        return f"Signer(profile={self.profile!r})"


def configured_region(profile: str | None) -> str | None:
    """The region that the profile in AWS's own file says; None when it says none or botocore is not installed."""
    try:
        session = _session(profile)
        return session.get_config_variable("region") or None
    except ConfigError:
        if profile is not None:
            raise
        return None
    except _errors().ProfileNotFound as error:
        raise _no_profile(profile) from error


def _session(profile: str | None) -> Any:
    return _botocore("session").Session(profile=profile)


def _errors() -> Any:
    return _botocore("exceptions")


def _botocore(module: str) -> Any:
    try:
        return import_module(f"botocore.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "calls to Bedrock are signed by botocore, which is not installed.",
            hint="Install it with: pip install 'tidyllm[bedrock]', or give an API key of Bedrock "
            "(AWS_BEARER_TOKEN_BEDROCK).",
        ) from error


def _no_profile(profile: str | None) -> ConfigError:
    variable = next((name for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if os.environ.get(name)), None)
    named = profile or (os.environ[variable] if variable else None)
    said = f", which {variable} names" if variable and not profile else ""
    return ConfigError(
        f"there is no profile {named!r} in AWS's files{said}.",
        where="profile",
        hint="See `aws configure list-profiles`.",
    )


def _found(profile: str | None) -> Any:
    """The credentials that botocore finds."""
    errors = _errors()
    try:
        found = _session(profile).get_credentials()
    except errors.ProfileNotFound as error:
        raise _no_profile(profile) from error
    except (errors.BotoCoreError, *_ODD) as error:
        raise _not_had(error) from None
    if found is None:
        who = f"profile {profile!r}" if profile else "Bedrock"
        raise AuthError(f"there are no AWS credentials for {who}.", hint=_NO_CREDENTIALS)
    return found


def _had(credentials: Any) -> Any:
    """The credentials at this moment."""
    try:
        frozen = credentials.get_frozen_credentials()
    except (_errors().BotoCoreError, *_ODD) as error:
        raise _not_had(error) from None
    except RuntimeError as error:  # botocore's, when new ones are expired already
        raise AuthError(f"the AWS credentials cannot be renewed: {type(error).__name__}.") from None
    for name, value in (("access key", frozen.access_key), ("secret key", frozen.secret_key)):
        if not str(value or "").strip():
            source: object = getattr(credentials, "method", None)
            raise AuthError(f"the AWS credentials{_from(source)} have an empty {name}.", hint=_NO_CREDENTIALS)
    return frozen


def _not_had(error: Exception) -> AuthError:
    # What a program of the user's printed may be the secret itself: only the kind of the error is told.
    told: Mapping[str, object] = getattr(error, "kwargs", {})
    lacks = told.get("cred_var")
    why = f" ({lacks} is missing)" if isinstance(lacks, str) else ""
    return AuthError(
        f"the AWS credentials cannot be had{_from(told.get('provider'))}: {type(error).__name__}{why}.",
        hint=_NO_CREDENTIALS,
    )


def _from(source: object) -> str:
    return f" from {source}" if isinstance(source, str) else ""


def _signed(frozen: Any, url: str, headers: Mapping[str, str], body: bytes, region: str) -> Signed:
    """As botocore's `add_auth`, but at the time of our clock, and without writing the secrets to its debug log."""
    request = _botocore("awsrequest").AWSRequest(method="POST", url=url, headers=dict(headers), data=body)
    auth = _botocore("auth").SigV4Auth(frozen, _SERVICE, region)
    request.context["timestamp"] = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    signature: str = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)
    return Signed({name.lower(): str(value) for name, value in request.headers.items()}, signature)
