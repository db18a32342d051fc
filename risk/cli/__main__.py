"""The door of the command line: finds the commands, and turns errors into one line and a code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

import typer

from risk.domain.errors import (
    AlreadyRunning,
    BadBook,
    BadConfiguration,
    BookRefused,
    InvalidEvent,
    WeirError,
)

# In the order of the help page. A module exposes ``register(app)`` and imports what is heavy
# inside its functions, so that every command starts fast.
COMMANDS = (
    *("setup", "doctor", "run", "worker", "api"),
    *("keys", "payments", "labels", "parked", "dataset", "backfill", "models", "features", "rules"),
    *("contracts", "train", "simulate", "scenarios", "archive", "bench", "parity", "prove"),
    *("rebuild", "audit", "replay", "explain", "versions", "lists", "alerts", "drift", "retrain"),
)
FAILED, BAD_INPUT, IN_USE = 1, 2, 3


def build_app() -> typer.Typer:
    """The command with all its groups."""
    app = typer.Typer(
        name="weir",
        help="Real-time payment risk: every decision can be proven.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in COMMANDS:
        if find_spec(f"risk.cli.{name}"):
            import_module(f"risk.cli.{name}").register(app)
    _reflow(app)
    return app


def _reflow(app: typer.Typer) -> None:
    """Let help pages break lines where the terminal ends, not where the source does."""
    for command in app.registered_commands:
        text = cleandoc(command.help or getattr(command.callback, "__doc__", None) or "")
        command.help = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _reflow(group.typer_instance)


def prepare_environment() -> None:
    """Keep caches inside the state folder, and libraries from calling home."""
    state = Path(os.environ.get("WEIR_HOME") or "var").expanduser().resolve()
    os.environ.setdefault("NUMBA_CACHE_DIR", str(state / "cache" / "numba"))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def explain(problem: Exception) -> tuple[str, int] | None:
    """What to say about an error and the exit code, or none if it is a defect of ours."""
    if isinstance(problem, WeirError):
        bad_input = isinstance(problem, BadConfiguration | InvalidEvent | BadBook | BookRefused)
        in_use = isinstance(problem, AlreadyRunning)
        code = IN_USE if in_use else BAD_INPUT if bad_input else FAILED
        return f"{problem.code}: {problem}\n{problem.operator}", code
    if isinstance(problem, OSError):
        return f"OS_ERROR: {problem}", FAILED
    return _bad_settings(problem)


def _bad_settings(problem: Exception) -> tuple[str, int] | None:
    # Imported only after a failure: the settings library is not needed to print the help.
    from pydantic import ValidationError

    if not isinstance(problem, ValidationError) or problem.title != "Settings":
        return None
    lines = [
        f"{BadConfiguration.code}: WEIR_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}"
        for error in problem.errors(include_input=False, include_url=False)
    ]
    return "\n".join([*lines, BadConfiguration.operator]), BAD_INPUT


def main() -> None:
    """Run the command line. Exit codes: 0 ok, 1 failure, 2 bad input, 3 already running."""
    prepare_environment()
    try:
        build_app()()
    except BrokenPipeError:
        # The reader of our output has gone; nothing is left to say to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as problem:
        explained = explain(problem)
        if explained is None:
            raise
        print(explained[0], file=sys.stderr)
        sys.exit(explained[1])


if __name__ == "__main__":
    main()
