"""Events and the program's own log records as structured lines. It knows what is worth a line, not where lines go.

One line costs 10 µs and more, a line that is not written 0.1 µs. Therefore `info` tells what went wrong or changed
(a failed run, a failed attempt, a retry, a fallback, a breaker), and only `debug` tells of every run and attempt:
how many of those there are, and how long they take, is what metrics are for.

Keys are taken out of every line. Texts of errors are written, as a provider or a library gave them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeAlias

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from tidyllm import clock
from tidyllm.core import AttemptFinished, BreakerChanged, CallFinished, Context, Event, FellBack, Retrying
from tidyllm.errors import ConfigError
from tidyllm.observe.redact import redact_value, short
from tidyllm.observe.semconv import error_type, valid

__all__ = ["FORMATS", "LEVELS", "Logs"]

Format: TypeAlias = Literal["json", "console"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

FORMATS = ("json", "console")
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# What we start brings loggers of its own; without a handler their records would be bare text among structured lines.
LOGGERS = ("tidyllm", "opentelemetry", "uvicorn")

_USED = ("input_tokens", "output_tokens", "cost_usd", "status", "request_id")


class Logs:
    """A hook that writes lines, and while it is open the way of `logging`'s records of our loggers, too.

    - `format`: `json` for machines, `console` for people.
    - `level`: `debug`, `info`, `warning` or `error`.
    - `stream`: default: standard error, so that a program's own output stays clean. Writing to it blocks the event loop
      for as long as it takes: give a pipe a reader.
    """

    def __init__(
        self, *, format: Format = "console", level: Level = "info", stream: TextIO | None = None
    ) -> None:
        """:raises ConfigError: there is no such format or level."""
        if format not in FORMATS or level not in LEVELS:
            given, known = (format, FORMATS) if format not in FORMATS else (level, tuple(LEVELS))
            raise ConfigError(f"{given!r} is none of {', '.join(known)}.", where="log")
        out = sys.stderr if stream is None else stream
        self._debug = level == "debug"
        self._log: FilteringBoundLogger = structlog.wrap_logger(
            structlog.WriteLogger(out),
            processors=_processors(format, colors=out.isatty()),
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        )
        self._handler = _Handler(self._log)
        self._before: list[tuple[logging.Logger, int, bool]] = []
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self._before.append((logger, logger.level, logger.propagate))
            logger.addHandler(self._handler)
            logger.propagate = False  # else a root handler would write the line once more
            if name == "tidyllm":
                logger.setLevel(LEVELS[level])
            elif logger.level == logging.NOTSET:
                logger.setLevel(max(LEVELS[level], logging.INFO))  # their own debugging is nobody's here

    def close(self) -> None:
        """Leave `logging` as it was."""
        while self._before:
            logger, level, propagate = self._before.pop()
            logger.removeHandler(self._handler)
            logger.setLevel(level)
            logger.propagate = propagate

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallFinished):
            if event.error is not None or self._debug:
                self._call(event)
        elif isinstance(event, AttemptFinished):
            if event.error is not None or self._debug:
                self._attempt(event)
        elif isinstance(event, Retrying):
            how = {"step": event.name, "attempt": event.attempt, "delay": event.delay}
            self._log.info("retry", **_where(event.ctx), **how, **_why(event.error))
        elif isinstance(event, FellBack):
            self._log.warning(
                "fallback", **_where(event.ctx), source=event.source, target=event.target, **_why(event.error)
            )
        elif isinstance(event, BreakerChanged):
            write = self._log.info if event.state == "closed" else self._log.warning
            write("breaker", **_where(event.ctx), breaker=event.name, state=event.state)

    def _call(self, event: CallFinished) -> None:
        ctx, error = event.ctx, event.error
        if ctx.parent_span_id != ctx.scope.parent_span:
            return  # within another call, which will tell if this matters
        fields: dict[str, Any] = {"step": event.step.name, "seconds": event.ended - event.started}
        if event.first_piece is not None:
            fields |= {"first_piece_seconds": event.first_piece - event.started, "pieces": event.pieces}
        if error is None:
            self._log.debug("call", **_where(ctx), **fields)
        elif isinstance(error, asyncio.CancelledError):
            self._log.info("call cancelled", **_where(ctx), **fields)
        else:
            self._log.error("call failed", **_where(ctx), **fields, **_why(error))

    def _attempt(self, event: AttemptFinished) -> None:
        error = event.error
        fields: dict[str, Any] = {
            "operation": event.operation,
            "provider": event.provider,
            "target": event.target,
            "model": event.model,
            "seconds": event.ended - event.started,
        }
        if event.first_piece is not None:
            fields["first_piece_seconds"] = event.first_piece - event.started
        fields |= {name: event.attributes[name] for name in _USED if name in event.attributes}
        if error is None:
            self._log.debug("attempt", **_where(event.ctx), **fields)
        elif isinstance(error, asyncio.CancelledError):
            self._log.debug("attempt cancelled", **_where(event.ctx), **fields)
        else:
            self._log.warning("attempt failed", **_where(event.ctx), **fields, **_why(error))


def _where(ctx: Context) -> dict[str, Any]:
    where = {"run_id": ctx.run_id, "path": "/".join(ctx.path)}
    return where | {"trace_id": f"{ctx.trace_id:032x}"} if ctx.scope.trace else where


def _why(error: BaseException) -> dict[str, Any]:
    return {"error": error_type(error), "message": short(error)}


class _Handler(logging.Handler):
    """Gives `logging`'s records to the same logger."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more: dict[str, Any] = {"logger": record.name}
            if record.exc_info:
                more["exc_info"] = record.exc_info
            # Levels of somebody's own count as the one below them; structlog knows no others.
            level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
            self._log.log(level, record.getMessage(), **more)
        except Exception:  # noqa: BLE001 - a log line must not break what it tells of; logging has a way to say so
            self.handleError(record)


def _processors(format: Format, *, colors: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _finish,
    ]
    if format == "json":
        return [*shared, structlog.processors.JSONRenderer(serializer=_json)]
    return [
        *shared,
        structlog.dev.ConsoleRenderer(
            colors=colors,
            sort_keys=False,
            timestamp_key="time",
            # The default prints the variables of every frame, and keys are among them.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _finish(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Time and level first, then the rest: clean, and fit for UTF-8."""
    moment = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
    fields: EventDict = {"time": moment.replace("+00:00", "Z"), "level": event.pop("level")}
    fields["event"] = _clean("event", event.pop("event"))
    for name, value in event.items():
        fields[name] = _clean(name, value)
    return fields


def _clean(name: str, value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    clean = redact_value(name, value)
    return valid(clean) if isinstance(clean, str) else clean


def _json(fields: object, **_options: object) -> str:
    return msgspec.json.encode(fields).decode()
