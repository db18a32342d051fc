"""An agent's body is one call that cannot raise: everything else loses events."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import streams.agents
from streams.leave import EXIT_UNFINISHED

FOLDER = Path(streams.agents.__file__).parent
AGENTS = sorted(path for path in FOLDER.glob("*.py") if path.name not in ("__init__.py", "body.py"))


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_the_loop_awaits_one_call_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFor)]
    assert len(loops) == 1, "one agent a file"
    assert [ast.unparse(line) for line in loops[0].body] == ["await finish(handler, batch)"]
    assert not loops[0].orelse
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))
    assert function.body == loops, "nothing before or after the loop"


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_agents_are_registered_safely(path: Path) -> None:
    text = path.read_text()
    assert "isolated_partitions=True" in text
    for forbidden in ("concurrency", ".take(", "noack", ".ack(", "send_soon", ".send(", "yield"):
        assert forbidden not in text, f"{forbidden}: see the pitfalls in the design"


def test_the_call_cannot_raise() -> None:
    tree = ast.parse((FOLDER / "body.py").read_text())
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))
    attempt = next(node for node in function.body if isinstance(node, ast.Try))
    assert [ast.unparse(line) for line in attempt.body] == ["await handler.handle(batch)"]
    (caught,) = attempt.handlers
    assert caught.type is not None
    assert ast.unparse(caught.type) == "BaseException"
    (reaction,) = caught.body
    assert ast.unparse(reaction).startswith("leave(")
    assert not attempt.finalbody


@pytest.mark.parametrize("error", ["ValueError('no')", "asyncio.CancelledError()", "SystemExit(0)"])
def test_a_failing_handler_ends_the_process(error: str) -> None:
    script = (
        "import asyncio\n"
        "from streams.agents.body import finish\n"
        "from streams.batch import Batch\n"
        "from tests.support.stream_records import Raw\n"
        "class Failing:\n"
        "    async def handle(self, batch):\n"
        f"        raise {error}\n"
        "asyncio.run(finish(Failing(), Batch('t', 0, 1, 0, [Raw(0, b'')])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == EXIT_UNFINISHED, done.stderr
