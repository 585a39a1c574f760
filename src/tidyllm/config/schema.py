"""What may stand in `tidyllm.yaml`, as data with defaults and their reasons. It reads no file and builds nothing.

docs/reference/configuration.md says the same for people; a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec

__all__ = [
    "AccessSettings",
    "BreakerSettings",
    "CacheSettings",
    "ChoiceSettings",
    "ExperimentSettings",
    "LimitSettings",
    "ModelSettings",
    "MoneySettings",
    "ObserveSettings",
    "PromptCacheSettings",
    "ProviderSettings",
    "RedisSettings",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "SignOnSettings",
    "StoreSettings",
    "TimeoutSettings",
    "is_reference",
    "is_secret",
]

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

_SECRETS = frozenset({"api_key", "client_secret", "headers", "master_key", "url"})


def is_secret(key: object) -> bool:
    """Whether what stands under this key may be a secret, so that it is never shown."""
    return key in _SECRETS


def is_reference(value: str) -> bool:
    """Whether the text says where a secret is (`env:NAME`, `file:PATH`) instead of being one."""
    return value.startswith(("env:", "file:"))


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [(name, _hidden(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        fields = (f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({', '.join(fields)})"


def _hidden(name: str, value: object) -> object:
    if not is_secret(name) or value is None:
        return value
    if isinstance(value, dict):
        return {key: _hidden("api_key", each) for key, each in cast("dict[str, str]", value).items()}
    return value if isinstance(value, str) and is_reference(value) else "(hidden)"


class ServerSettings(_Section, frozen=True):
    """The gateway's door."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8400
    """0 takes a free one."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    max_body_mb: Annotated[float, msgspec.Meta(gt=0, le=1024)] = 20.0
    """A request with a few large images is under 20 MB; providers themselves stop between 20 and 50."""
    header_timeout: Seconds = 10.0
    """Seconds a client has to send its headers."""
    body_timeout: Seconds = 30.0
    """Seconds a client may pause while it sends its body."""
    drain: Seconds = 30.0
    """Seconds that running streams have to finish after SIGTERM."""
    master_key: str | None = None
    """`env:NAME` or `file:PATH`; default: the variable TIDYLLM_MASTER_KEY, else one is generated."""


class PromptCacheSettings(_Section, frozen=True):
    """Where marks go, so that Anthropic keeps the beginning of prompts: behind what is named here."""

    tools: bool = True
    system: bool = True
    last_turns: Annotated[int, msgspec.Meta(ge=0, le=2)] = 2
    """The last message, and the user's turn before it: Anthropic looks back at most 20 blocks for what it has."""
    ttl: Literal["5m", "1h"] = "5m"
    """How long it is kept after its last use; to write costs 1.25 times the price of input, or twice."""
    min_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Shorter prefixes are not marked; None is what the model keeps at least."""


class ProviderSettings(_Section, frozen=True):
    """One service."""

    kind: str
    base_url: str | None = None
    api_key: str | None = None
    """`env:NAME` or `file:PATH`; default, at the kind's own address: the kind's own environment variable."""
    headers: dict[str, str] = {}
    """Sent with every call; values may be `env:NAME` or `file:PATH`."""
    formats: tuple[str, ...] | None = None
    """The wire formats it speaks; the first one is used for requests of ours."""
    region: str | None = None
    """Where it runs, as you call it: `eu-west-1`."""
    regions: tuple[str, ...] = ()
    """Of kind `bedrock`: the regions to call, in order; the next one where one throttles."""
    residency: tuple[str, ...] = ()
    """Places that data sent to it never leave: `[eu]`. At kind `bedrock` a call that would is refused."""
    profile: str | None = None
    """Of kind `bedrock`: the profile of AWS's files whose credentials sign."""
    lenient: bool = False
    """Leave out (and report) what the provider has no place for, instead of refusing the request."""
    prompt_cache: PromptCacheSettings | None = None
    """For services that speak Anthropic's format; None places no marks."""

    @property
    def called(self) -> tuple[str, ...]:
        """The regions to call, in order; none where the environment says, or the service has none to choose."""
        if self.kind != "bedrock":
            return self.regions
        return self.regions or ((self.region,) if self.region else ())


class RetrySettings(_Section, frozen=True):
    """For each target: `attempts` in all, full jitter below `base * 2**n` seconds, never above `cap`."""

    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    base: Annotated[float, msgspec.Meta(ge=0)] = 0.25
    cap: Annotated[float, msgspec.Meta(ge=0)] = 8.0
    longest_wait: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """The longest pause a provider may ask for; None is 1 second where another target follows, and 60 for the last."""

    def options(self) -> dict[str, Any]:
        """As `Retry` takes them, but for `longest_wait`. Programs may know more than a file can say."""
        return {"attempts": self.attempts, "base": self.base, "cap": self.cap}


class TimeoutSettings(_Section, frozen=True):
    """For each attempt, in seconds."""

    total: Seconds | None = 600.0
    """As long as the official clients wait; long answers take minutes."""
    first_piece: Seconds | None = None
    gap: Seconds | None = 60.0
    """No provider pauses that long within a stream; a silent connection is dead."""


class BreakerSettings(_Section, frozen=True):
    """`failures` within `window` seconds open it; after `cooldown` seconds one call may try."""

    failures: Count = 5
    window: Seconds = 30.0
    cooldown: Seconds = 10.0


class LimitSettings(_Section, frozen=True):
    """How much of a route may run at once, or start in a second; None for no limit."""

    concurrency: Count | None = None
    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None
    burst: Count | None = None
    max_wait: Annotated[float, msgspec.Meta(ge=0)] | None = None


class CacheSettings(_Section, frozen=True):
    """Answers of a route that are given again to equal requests."""

    ttl: Seconds = 3600.0
    """Seconds an answer is kept."""
    share: Literal["key", "team", "all"] = "team"
    """Who gets whose answers: one key its own, a team (a key without one: its own), or everybody."""
    store: Literal["memory", "store", "redis"] = "memory"
    """Of this process, in the database, or in Redis: the last also makes one call of equal ones across workers."""
    max_mb: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 64.0
    max_entries: Count = 100_000
    vary: tuple[str, ...] = ()
    """Names of tags of a request that must be equal as well."""


class ExperimentSettings(_Section, frozen=True):
    """A part of the traffic of a route goes another way, and the two are compared."""

    name: str
    arms: Annotated[dict[str, Annotated[float, msgspec.Meta(gt=0, lt=1)]], msgspec.Meta(min_length=2)]
    """Shares that add up to 1: `control` is the route itself, the others are names of other models here."""
    sticky: Literal["key", "user"] = "key"
    """Who stays with an arm: a key, or a user as requests name him."""
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.05
    """The chance, over the whole experiment, that an arm is called better or worse and is not."""
    min_clusters: Annotated[int, msgspec.Meta(ge=50)] = 50
    """No verdict before so many keys (or users) have been heard of in each arm."""
    margin: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """An arm is stopped when it is surely worse by more than this; quality is from 0 to 1."""


class ChoiceSettings(_Section, frozen=True):
    """Which of several models answers a request."""

    among: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Names of models here."""
    by: Literal["order", "weight", "price", "latency", "learned"] = "order"
    """Of those that can: the first, by weight, the cheapest, the fastest, or what a policy has learned."""
    tasks: dict[str, tuple[str, ...]] = {}
    """For a kind of task, the models that are good at it, the preferred first."""
    weights: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    policy: str | None = None
    """The file that `tidyllm route train` wrote."""
    window_tokens: Count | None = None
    usd_per_million: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """At most this price, three tokens in for each one out."""
    latency: Seconds | None = None
    """At most these mean seconds to the first piece, once they are measured."""
    abilities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    residency: str | None = None
    """Where data must stay."""


class ModelSettings(_Section, frozen=True):
    """One name that callers use, and the way to an answer behind it."""

    route: tuple[str, ...] = ()
    """Targets `provider/model`, tried in order. `*` in a name matches anything; in a target it is what matched."""
    choose: ChoiceSettings | None = None
    """In place of a route: one of other models here is chosen for each request."""
    ab: ExperimentSettings | None = None
    deadline: Seconds | None = 600.0
    """Seconds for all attempts and targets together."""
    retry: RetrySettings = RetrySettings()
    timeout: TimeoutSettings = TimeoutSettings()
    breaker: BreakerSettings | None = BreakerSettings()
    """None: every call makes all its attempts, however long the target has been failing."""
    limit: LimitSettings | None = None
    cache: CacheSettings | None = None
    prompt_cache: PromptCacheSettings | None = None
    """In place of those of the route's providers."""


class ObserveSettings(_Section, frozen=True):
    """What can be seen from outside. Message content is never recorded unless `content` says so."""

    metrics: bool = True
    log: Literal["json", "console", "off"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    traces: Literal["off", "otlp"] = "off"
    """`otlp` sends spans to where the OTEL_EXPORTER_OTLP_* variables say."""
    content: bool = False


class StoreSettings(_Section, frozen=True):
    """The database of keys, budgets, the ledger and kept answers."""

    url: str | None = None
    """A path, `postgresql://…`, `env:NAME` or `file:PATH`; default: the variable TIDYLLM_STORE_URL, else
    `~/.local/share/tidyllm/store.db`."""


class RedisSettings(_Section, frozen=True):
    """What many workers share: limits of keys, and kept answers."""

    url: str = "env:TIDYLLM_REDIS_URL"


class AccessSettings(_Section, frozen=True):
    """Virtual keys, beside the master key."""

    on_store_down: Literal["refuse", "allow"] = "refuse"
    """While limits cannot be counted together: refuse calls, or let each process count for itself."""
    required_tags: tuple[str, ...] = ()
    """Names that each request must give in its header `x-tidyllm-tags`."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of load balancers: what they say in `x-forwarded-for` is believed."""


class MoneySettings(_Section, frozen=True):
    """A cap over everything that goes through this gateway; keys, teams and organisations have theirs in the store."""

    limit_usd: Annotated[float, msgspec.Meta(ge=0)] | None = None
    window: str = "month"
    """`none`, `day`, `week`, `month` (of the calendar, UTC) or `rolling:SECONDS`."""
    soft_usd: Annotated[float, msgspec.Meta(ge=0)] | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    """Seconds a call waits for others to settle when nothing else is in its way."""


class SignOnSettings(_Section, frozen=True):
    """People who sign on to the admin side by OpenID Connect."""

    issuer: str
    client_id: str
    client_secret: str | None = None
    """`env:NAME` or `file:PATH`; none for a public client."""
    redirect_url: str = "http://127.0.0.1:8400/admin/v1/callback"
    role_claim: str = "roles"
    roles: dict[str, Literal["admin", "operator", "viewer"]] = {}
    """What a value of the claim makes of a person; who has none of them is refused."""


class Settings(_Section, frozen=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    providers: dict[str, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    catalog: dict[str, dict[str, Any]] = {}
    """More models for the catalogue, `provider/model` to its facts."""
    store: StoreSettings | None = None
    """Left out: the store is used where TIDYLLM_STORE_URL is set or its file exists."""
    redis: RedisSettings | None = None
    access: AccessSettings = AccessSettings()
    money: MoneySettings = MoneySettings()
    sign_on: SignOnSettings | None = None
    observe: ObserveSettings = ObserveSettings()
    orchestration: bool | None = None
    """How teams of agents work; left out: orchestrated, unless USE_ORCHESTRATION says otherwise."""
