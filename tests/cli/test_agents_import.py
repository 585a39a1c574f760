"""`tidyllm agents import`: the next run of a goal begins with what another one knew."""

from __future__ import annotations

from pathlib import Path

from tests.agents.programs import player_for
from tests.cli.agents_playing import GOAL, Ground, events
from tidyllm.agents import ProjectState
from tidyllm.agents.phases import Phase
from tidyllm.agents.tasks import Task
from tidyllm.testing import ModelServer


async def test_a_run_begins_with_the_state_that_was_imported_and_the_next_one_does_not(
    tmp_path: Path,
) -> None:
    state = ProjectState(
        goal=GOAL, tasks=[Task(id="task-1", title="Mend the cart")], planned=True, phase=Phase.coding
    )
    (tmp_path / "state.json").write_bytes(state.to_json())
    async with ModelServer(player_for("cart", "right")) as server:
        ground = Ground.of(tmp_path, "cart", server)
        taken = await ground.tidyllm("agents", "import", "state.json", "--project", str(ground.project))
        assert (taken.status, "tasks 1" in taken.out, GOAL in taken.out) == (0, True, True), taken.err
        first = events((await ground.run("--traditional", "--json")).out)[-1]
    assert ([one["title"] for one in first["tasks"]], first["exit_code"]) == (["Mend the cart"], 0)
    assert not list((tmp_path / "data" / "tidyllm" / "agents").glob("*.imported"))  # the next one begins anew


async def test_what_is_no_state_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("[]")
    async with ModelServer("No.") as server:
        ground = Ground.of(tmp_path, "cart", server)
        for file, words in (("state.json", "no state of a project"), ("nowhere.json", "cannot be read")):
            ended = await ground.tidyllm("agents", "import", file, "--project", str(ground.project))
            assert (ended.status, ended.traceback, words in ended.err) == (2, False, True), ended.err
