"""What people ask of the database of runs: lists, trees of steps, what is stranded. It only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import msgspec

from tidyllm import clock
from tidyllm.durable import leases
from tidyllm.durable.database import Connection
from tidyllm.durable.tables import ASKED, DONE, FAILED, LEFT, RUNNING, STATUS
from tidyllm.errors import ConfigError

__all__ = ["Listed", "Node", "Stranded", "Tree", "listed", "stranded", "tree"]

_LIST = """SELECT r.id, r.flow, r.version, r.created, r.forked_from, r.stopped, w.status, w.completed_at, w.executor_id,
 w.updated_at FROM {s}tidyllm_runs r JOIN {e}workflow_status w ON w.workflow_uuid = r.id"""
_STATUSES = ("queued", "running", "done", "failed", "cancelled", "stopped")
_STATES = {RUNNING: "running", DONE: "done", FAILED: "failed", ASKED: "asks", LEFT: "left"}


class Listed(msgspec.Struct, frozen=True):
    """One run in a list. Times are seconds since 1970."""

    id: str
    flow: str
    version: str
    status: str
    created: float
    ended: float | None
    forked_from: str | None = None
    executor: str | None = None


class Node(msgspec.Struct):
    """One place in the tree of a run. Tokens and dollars include what lies below."""

    path: str
    name: str
    state: str
    """`done`, `failed`, `running`, `asks`, `in doubt`, `left`, `unfinished`, or empty for a mere bracket."""
    seconds: float | None = None
    tries: int = 0
    tokens: int | None = None
    cost_usd: Decimal | None = None
    text: str | None = None
    """A question's words, or what failed."""
    children: list[Node] = []


class Tree(msgspec.Struct):
    """A run and its steps."""

    run: Listed
    steps: list[Node]
    in_doubt: list[str]
    tokens: int | None
    cost_usd: Decimal | None
    error: str | None = None


class Stranded(msgspec.Struct, frozen=True):
    """A run that will not go on by itself: why, and what to do."""

    id: str
    flow: str
    why: str
    do: str


def listed(
    at: Connection, *, status: str | None = None, flow: str | None = None, limit: int = 50
) -> list[Listed]:
    """Runs, the newest first.

    :raises ConfigError: no run has such a status.
    """
    if status is not None and status not in _STATUSES:
        raise ConfigError(
            f"{status!r} is no status of a run; expected one of {', '.join(_STATUSES)}.", where="status"
        )
    conditions: list[str] = []
    values: list[Any] = []
    if flow is not None:
        conditions.append("r.flow = ?")
        values.append(flow)
    if status is not None:
        words = [raw for raw, ours in STATUS.items() if raw is not None and ours == _engine_word(status)]
        conditions.append(f"w.status IN ({', '.join('?' for _ in words) or 'NULL'})")
        values += words
        if status in ("stopped", "cancelled"):
            conditions.append(f"r.stopped IS {'NOT ' if status == 'stopped' else ''}NULL")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = at.rows(f"{_LIST}{where} ORDER BY r.created DESC LIMIT ?", (*values, limit))
    return [_listed(row) for row in rows]


def _engine_word(status: str) -> str:
    return "cancelled" if status == "stopped" else status


def _listed(row: tuple[Any, ...]) -> Listed:
    run, flow, version, created, forked_from, stopped, raw, completed, executor, updated = row
    status = STATUS.get(raw, "failed")
    if status == "cancelled" and stopped is not None:
        status = "stopped"
    over = status in ("done", "failed", "cancelled", "stopped")
    # On SQLite the engine knows whole seconds only.
    ended = max((completed or updated or 0) / 1000, created) if over else None
    return Listed(run, flow, version, status, created, ended, forked_from, executor)


def tree(at: Connection, run: str) -> Tree:
    """The run and all its steps.

    :raises RunNotFound: there is none of that id.
    """
    from tidyllm.durable.starting import outcome  # it loads the core, which a list does not need

    found = outcome(at, run)
    head = _listed(at.rows(f"{_LIST} WHERE r.id = ?", (run,))[0]) if found.raw is not None else None
    head = head or Listed(run, found.flow, "", found.status, clock.now(), None)
    rows = at.rows(
        "SELECT s.path, s.step, s.state, s.tries, s.started, s.ended, COALESCE(s.output, b.data), s.policy"
        " FROM {s}tidyllm_steps s LEFT JOIN {s}tidyllm_blobs b ON b.hash = s.blob WHERE s.run = ?"
        " ORDER BY s.started, s.seq",
        (run,),
    )
    lives = found.status == "running" and found.executor not in leases.dead_executors(at)
    nodes: dict[str, Node] = {}
    top: list[Node] = []
    for path, _step, state, tries, started, ended, output, _policy in rows:
        node = _at(path, nodes, top)
        node.state = _STATES[state]
        node.tries = tries
        node.seconds = (ended or (clock.now() if lives else started)) - started if state != LEFT else None
        if state in (RUNNING, ASKED) and found.is_over:
            node.state, node.seconds = "unfinished", None
        elif state == RUNNING and not lives:
            node.state, node.seconds = "in doubt", None
        if state in (ASKED, FAILED):
            node.text = _words(output, state)
        node.tokens, node.cost_usd = spent(output) if state == DONE else (None, None)
    for node in nodes.values():
        if node.state == "in doubt" and not all(map(_is_doubt, node.children)):
            node.state = "running"  # a mere bracket around what is in doubt
        if node.state == "running" and any(one.state == "asks" and _is_doubt(one) for one in node.children):
            node.state, node.seconds = "in doubt", None  # until its question is answered
    tokens, cost = _sum(top)
    error = None
    if found.status in ("failed", "stopped", "cancelled"):
        error = str(found.failure(run))
    doubts = [path for path, node in nodes.items() if node.state == "in doubt"]
    return Tree(head, top, doubts, tokens, cost, error)


def _is_doubt(node: Node) -> bool:
    """Whether it is the question what to do about the call above it."""
    return node.name.partition("#")[0] == "in-doubt"


def _at(path: str, nodes: dict[str, Node], top: list[Node]) -> Node:
    node = nodes.get(path)
    if node is not None:
        return node
    over, _, name = path.rpartition("/")
    node = nodes[path] = Node(path, name.replace("%2F", "/"), "", children=[])
    (top if not over else _at(over, nodes, top).children).append(node)
    return node


def _sum(nodes: Sequence[Node]) -> tuple[int | None, Decimal | None]:
    """Tokens and dollars of all; what a step says of its whole tree counts only where nothing below says it."""
    tokens: int | None = None
    cost: Decimal | None = None
    for node in nodes:
        below = _sum(node.children)
        if below[0] is not None:
            node.tokens = below[0]
        if below[1] is not None:
            node.cost_usd = below[1]
        if node.tokens is not None:
            tokens = (tokens or 0) + node.tokens
        if node.cost_usd is not None:
            cost = (cost or Decimal(0)) + node.cost_usd
    return tokens, cost


def spent(output: str | None) -> tuple[int | None, Decimal | None]:
    """Tokens and dollars that a recorded answer speaks of, in fields `usage` and `cost_usd`."""
    if output is None or ('"usage"' not in output and '"cost_usd"' not in output):
        return None, None
    value: Any = msgspec.json.decode(output)
    if isinstance(value, dict) and "!type" in value:
        value = cast("dict[str, Any]", value).get("value")
    if not isinstance(value, dict):
        return None, None
    fields = cast("dict[str, Any]", value)
    usage: Any = fields.get("usage")
    tokens: int | None = None
    if isinstance(usage, Mapping):
        said = cast("Mapping[str, Any]", usage)
        counts = [said.get("input_tokens"), said.get("output_tokens")]
        known = [one for one in counts if isinstance(one, int)]
        tokens = sum(known) if known else None
    try:
        cost = None if fields.get("cost_usd") is None else Decimal(str(fields["cost_usd"]))
    except InvalidOperation:
        cost = None
    return tokens, cost


def _words(output: str | None, state: int) -> str | None:
    if output is None or state == ASKED:
        return output
    note: dict[str, Any] = msgspec.json.decode(output)
    return f"{note.get('class')}: {note.get('message')}"


def stranded(at: Connection, versions: Mapping[str, str] | None = None) -> list[Stranded]:
    """Runs that wait for somebody. `versions`: of programs at hand, by flow; else those that workers serve."""
    found: list[Stranded] = []
    rows = at.rows(f"{_LIST} WHERE w.status IN ('PENDING', 'ENQUEUED', 'DELAYED') OR r.stopped IS NOT NULL")
    dead = leases.dead_executors(at)
    known = {row[0] for row in at.rows("SELECT id FROM {s}tidyllm_workers")}
    served = dict(versions or {})
    alive: set[str] = set()
    for name, kind in at.rows("SELECT id, kind FROM {s}tidyllm_workers WHERE ended IS NULL"):
        if name in dead:
            continue
        for pair in str(kind).removeprefix("worker").split():
            flow, _, version = pair.rpartition("=")
            alive.add(flow)
            served.setdefault(flow, version)
    asked = at.rows("SELECT run, path, output FROM {s}tidyllm_steps WHERE state = ?", (ASKED,))
    for row in rows:
        run = _listed(row)

        def add(why: str, do: str, run: Listed = run) -> None:
            found.append(Stranded(run.id, run.flow, why, do))

        again = f"start it again with its id, or run: tidyllm worker MODULE:{run.flow}"
        if run.status == "stopped":
            note: dict[str, Any] = msgspec.json.decode(row[5])
            add(
                f"it was stopped: {note.get('message')}",
                f"when that is mended: {again}; or: tidyllm runs fork {run.id}",
            )
            continue
        if run.status == "running" and (run.executor in dead or run.executor not in known):
            add("the process that ran it is dead", again)
        if run.status == "queued" and run.flow not in alive:
            add("it is queued, and no living worker serves its flow", f"tidyllm worker MODULE:{run.flow}")
        now = served.get(run.flow)
        if now is not None and run.version and now != run.version:
            add(
                f"it began with version {run.version}, and the program is {now}",
                "it goes on where nothing diverges; put new steps behind `if versioned(...)`, or run the old program",
            )
        for _, path, question in (one for one in asked if one[0] == run.id):
            add(f"it asks at {path}: {question}", f"tidyllm runs approve {run.id} {path} --answer TEXT")
    return found
