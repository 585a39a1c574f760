"""LangGraph with its SQLite or Postgres saver: one graph whose node adds 1, so many times. Run by the peers' Python."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, TypedDict


class State(TypedDict):
    x: int
    n: int


def add(state: State) -> dict[str, int]:
    return {"x": state["x"] + 1}


def more(state: State) -> str:
    return "again" if state["x"] < state["n"] else "end"


def measured(saver: Any, steps: int) -> float:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State)
    graph.add_node("add", add)
    graph.add_edge(START, "add")
    graph.add_conditional_edges("add", more, {"again": "add", "end": END})
    compiled = graph.compile(checkpointer=saver)
    started = time.perf_counter()
    config = {"configurable": {"thread_id": "one"}, "recursion_limit": steps + 10}
    assert compiled.invoke({"x": 0, "n": steps}, config)["x"] == steps
    return time.perf_counter() - started


def main() -> None:
    name, url, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "SQLite":
        from langgraph.checkpoint.sqlite import SqliteSaver

        path = Path(url.removeprefix("sqlite:///"))
        with SqliteSaver.from_conn_string(str(path)) as saver:
            took = measured(saver, steps)
        size = path.stat().st_size
    else:
        import psycopg
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            with psycopg.connect(url) as at:
                before = at.execute("SELECT pg_database_size(current_database())").fetchone()[0]
            took = measured(saver, steps)
        with psycopg.connect(url) as at:
            size = at.execute("SELECT pg_database_size(current_database())").fetchone()[0] - before
    print(json.dumps([took / steps * 1e6, size / steps]))


if __name__ == "__main__":
    main()
