"""Teams that are killed with `kill -9` at random moments: started again they go on, and pay for no answer twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tests.agents.programs import materialise, names, player_for, program
from tests.agents.repairing import Told
from tests.agents.test_programs import checked
from tests.shared_data import ROOT
from tidyllm.testing import ModelServer
from tidyllm.testing.model_server import Asked


def one_life(
    folder: Path, server: ModelServer, mode: str, name: str, death: tuple[int, float] | None
) -> Told | None:
    """Run the team. `death`: kill it after so many more questions, and so many seconds. What it told at its end."""
    argv = [
        sys.executable,
        "-m",
        "tests.agents.repairing",
        str(folder),
        server.openai_url,
        mode,
        *program(name).check,
    ]
    until = None if death is None else len(server.requests) + death[0]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        if child.stdout.readline() != "ready\n":
            raise AssertionError(child.stderr.read())
        while until is not None and death is not None and child.poll() is None:
            if len(server.requests) >= until:
                time.sleep(death[1])
                os.kill(child.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
                break
            time.sleep(0.002)
        out, err = child.communicate()
    if child.returncode == -signal.SIGKILL:
        return None
    assert child.returncode == 0, err
    return msgspec.json.decode(out, type=Told)


def repeated(asked: list[Asked]) -> int:
    """How many questions were asked that had been asked before."""
    bodies = [msgspec.json.encode(one.body) for one in asked]
    return len(bodies) - len(set(bodies))


def survives(folder: Path, name: str, mode: str, player: str, *, kills: int, seed: int) -> int:
    """Kill a team up to `kills` times and let it come to its end; how often it was killed."""
    tree = materialise(name, folder / "project")
    chance = random.Random(seed)
    done = 0
    with ModelServer(player_for(name, player)) as server:
        told: Told | None = None
        while told is None:
            death = (chance.randint(0, 3), chance.uniform(0, 0.4)) if done < kills else None
            told = one_life(folder, server, mode, name, death)
            done += told is None
        assert (told.stop, told.exit_code) == ("finished", 0)
        assert repeated(server.requests) <= done, "only what was in flight may be asked again"
        assert told.turns <= len(server.requests) <= told.turns + done
    assert " failed" not in checked(tree)
    assert (tree / program(name).fixes[0].file).read_text("utf-8") == program(name).tree("fixed")[
        program(name).fixes[0].file
    ]
    return done


@pytest.mark.proof
@pytest.mark.timeout(240)
def test_a_team_that_is_killed_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    assert survives(tmp_path, "cart", "orchestrated", "right", kills=2, seed=4) >= 1


@pytest.mark.proof
@pytest.mark.timeout(600)  # five processes, on a machine that may be busy
@pytest.mark.parametrize("mode", ["orchestrated", "traditional"])
@pytest.mark.parametrize("name", names())
def test_every_program_is_repaired_by_a_team_that_is_killed(name: str, mode: str, tmp_path: Path) -> None:
    seed = names().index(name)
    player = "right" if (seed + (mode == "traditional")) % 2 else "wrong_first"
    killed = survives(tmp_path, name, mode, player, kills=4, seed=seed)
    sys.stderr.write(f"{name}, {mode}: killed {killed} times\n")
    assert killed
