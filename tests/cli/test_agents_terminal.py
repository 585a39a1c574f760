"""`tidyllm agents run` in a terminal: the live picture, questions, Ctrl-C."""

from __future__ import annotations

from pathlib import Path

from tests.agents.programs import player_for
from tests.agents.test_programs import repaired
from tests.cli.agents_playing import Ground
from tests.cli.terminal import Terminal
from tidyllm.models import Request
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing.behaviours.heard import conversation

QUESTION = "Is the cart of a shop?"
_asking = player_for("cart", "right", prefer={"action": ["ask_user"], "question": QUESTION})
_right = player_for("cart", "right")


def curious(request: Request) -> Reply | str:
    """It asks one question, and goes on when it has heard the answer."""
    told = "\n".join(each.text for each in conversation(request))
    return _right(request) if "it is a shop" in told else _asking(request)


async def test_a_person_is_asked_leaves_comes_back_and_sees_the_end(tmp_path: Path) -> None:
    async with ModelServer(curious) as server:
        ground = Ground.of(tmp_path, "cart", server)
        async with Terminal(
            tmp_path, *ground.line, OLLAMA_HOST=server.url, XDG_DATA_HOME=ground.data
        ) as first:
            await first.until("== planning")
            await first.until(f"{QUESTION}\n? ")
            first.press("c")
            await first.until("The same command goes on with run project-")
            assert await first.end() == 130
        async with Terminal(
            tmp_path, *ground.line, OLLAMA_HOST=server.url, XDG_DATA_HOME=ground.data
        ) as second:
            await second.until("goes on with run project-")
            await second.until(f"{QUESTION}\n? ")
            second.type("it is a shop")
            await second.until("== coding")
            await second.until(" turns · ")
            await second.until("finished; the check passes")
            assert await second.end() == 0
            await second.until("Take it all back: tidyllm agents undo project-")
    assert repaired(ground.project, "cart")
