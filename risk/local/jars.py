"""The Kafka jars: fetched once by Maven coordinates, checked against the lock before each start."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from risk.domain.errors import BadConfiguration, Unavailable

LOCK = Path(__file__).with_name("kafka.lock")
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.1.2",
    # Kafka's own dependencies leave out the bridge through which it would log.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
)
FETCHERS = 6
FETCH_TRIES = 3
FETCH_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: ``group:artifact:version``, file name, SHA-256 in hex."""

    coordinate: str
    file: str
    sha256: str

    def path(self, cache: Path) -> Path:
        """Where it lies in a cache, laid out like a Maven repository."""
        group, artifact, version = self.coordinate.split(":")
        return cache.joinpath(*group.split("."), artifact, version, self.file)


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of a lock file, in class path order. Raises ``BadConfiguration``."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        parts = line.split()
        if len(parts) != 3 or parts[0].count(":") != 2 or len(parts[2]) != 64:
            raise BadConfiguration(f"{lock.name} line {number}: not `g:a:v file sha256`")
        jars.append(Jar(*parts))
    return tuple(jars)


def missing(cache: Path, jars: Iterable[Jar]) -> list[Jar]:
    """The jars that are not in the cache."""
    return [jar for jar in jars if not jar.path(cache).exists()]


def altered(cache: Path, jars: Iterable[Jar]) -> list[Jar]:
    """The jars whose content is not the locked one. 45 MB take about 0.1 s."""
    return [jar for jar in jars if sha256(jar.path(cache)) != jar.sha256]


def fetch(
    cache: Path, jars: Iterable[Jar], on_jar: Callable[[Jar], None] | None = None
) -> list[Path]:
    """Bring jars into the cache; ``on_jar`` is called as each arrives, from any thread.

    A jar stands in the cache only after its sum was found right. Raises ``Unavailable`` when the
    registry does not answer, ``BadConfiguration`` when it hands out other bytes than the lock says.
    """
    cache.mkdir(parents=True, exist_ok=True)

    def bring(jar: Jar) -> Path:
        path = _fetch_one(cache, jar)
        if on_jar:
            on_jar(jar)
        return path

    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="jars") as pool:
        try:
            return list(pool.map(bring, jars))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def ensure(cache: Path, on_jar: Callable[[Jar], None] | None = None) -> list[Path]:
    """The class path, verified: what is missing is fetched, what was altered is refused.

    Nothing is asked of the network when all jars are there. Raises like ``fetch``.
    """
    jars = read_lock()
    fetch(cache, missing(cache, jars), on_jar)
    if wrong := altered(cache, jars):
        names = ", ".join(jar.file for jar in wrong)
        raise BadConfiguration(
            f"Kafka is not started: {names} differs from kafka.lock (SHA-256); "
            "run `weir setup` to fetch it again"
        )
    return [jar.path(cache) for jar in jars]


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_one(cache: Path, jar: Jar) -> Path:
    from requests import RequestException

    problem: Exception | None = None
    for _ in range(FETCH_TRIES):
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as folder:
            try:
                found = _resolve(Path(folder), jar.coordinate)
            except (RequestException, RuntimeError, OSError) as error:
                problem = error
                continue
            if sha256(found) != jar.sha256:
                raise BadConfiguration(
                    f"{jar.coordinate}: the registry's file differs from kafka.lock (SHA-256)"
                )
            target = jar.path(cache)
            target.parent.mkdir(parents=True, exist_ok=True)
            return found.replace(target)
    raise Unavailable("Maven registry", f"{jar.coordinate}: {problem}")


def _resolve(folder: Path, coordinate: str) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = coordinate.split(":")
    context = MavenContext(repo_cache=folder, timeout=FETCH_TIMEOUT_S)
    component = context.project(group, artifact).at_version(version)
    return Path(component.artifact().resolve())


def lock_text(folder: Path, roots: Iterable[str] = ROOTS) -> str:
    """The text of a new lock: what the roots need at run time, resolved from the registry."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=FETCH_TIMEOUT_S)
    chosen: dict[str, str] = {}
    # One root at a time: asked together, one root's managed versions would rule the other's.
    for root in roots:
        named, needed = context.resolver.resolve([context.create_dependency(root)], transitive=True)
        for item in (*named, *needed):
            name = f"{item.groupId}:{item.artifactId}"
            if name not in chosen and item.scope in {None, "compile", "runtime"}:
                path = Path(item.artifact.resolve())
                chosen[name] = f"{name}:{item.version} {path.name} {sha256(path)}"
    head = "# The jars of Apache Kafka: coordinate, file, SHA-256. Made by `weir setup --relock`."
    return "\n".join([head, *chosen.values()]) + "\n"
