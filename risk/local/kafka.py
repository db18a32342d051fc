"""A single Kafka broker of our own (KRaft), on loopback."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import struct
import subprocess
from pathlib import Path

from risk.domain.errors import Unavailable
from risk.local import jars, ports
from risk.local.java import Java, find_java
from risk.local.ports import HOST
from risk.local.process import Command, log_tail, plain_environment
from risk.local.server import Server

HEAP_MIB = 384
FORMAT_S = 60
_PROBE_S = 2.0
_API_VERSIONS = 18

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}
num.network.threads=2
num.io.threads=4
background.threads=2
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.segment.bytes=268435456
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.threads=1
num.recovery.threads.per.data.dir=2
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
"""

LOGGING = """\
status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{{ISO8601}} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server
logger.server.level = info
logger.config.name = kafka.server.KafkaConfig
logger.config.level = warn
"""


class KafkaServer(Server):
    """One broker that is its own controller. ``cache`` holds the jars."""

    name = "kafka"
    ready_s = 90.0

    def __init__(
        self,
        data: Path,
        cache: Path,
        log: Path | None = None,
        port: int | None = None,
        java: Java | None = None,
    ) -> None:
        super().__init__(data, log, port)
        self._cache = cache.resolve()
        self._java = java
        self._controller_port = 0
        self._class_path = ""

    @property
    def url(self) -> str:
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        """Verify the jars, write the properties, format the data folder if it is new."""
        self._class_path = os.pathsep.join(map(str, jars.ensure(self._cache)))
        self._java = self._java or find_java()
        if not self._controller_port or not ports.is_free(self._controller_port):
            self._controller_port = ports.pick()
        text = PROPERTIES.format(
            host=HOST,
            port=self.port,
            controller_port=self._controller_port,
            folder=self._log_folder,
        )
        self._properties.write_text(text)
        self._logging.write_text(LOGGING.format())
        if not (self._log_folder / "meta.properties").exists():
            self._format(secrets.token_bytes(16))

    def command(self) -> Command:
        argv = (*self._run_java("-Xms128m"), "kafka.Kafka", str(self._properties))
        return Command(self.name, argv, self.log, folder=self.data)

    def answers(self) -> bool:
        """Whether the broker (not only its port) answers an ApiVersions request."""
        request = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
        try:
            with socket.create_connection((HOST, self.port), timeout=_PROBE_S) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                with connection.makefile("rb") as reader:
                    answer = reader.read(10)
        except OSError:
            return False
        return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)

    @property
    def _log_folder(self) -> Path:
        return self.data / "log"

    @property
    def _properties(self) -> Path:
        return self.data / "server.properties"

    @property
    def _logging(self) -> Path:
        return self.data / "log4j2.properties"

    def _run_java(self, *options: str) -> tuple[str, ...]:
        java = self._java or find_java()
        return (
            str(java.path),
            f"-Xmx{HEAP_MIB}m",
            *options,
            *("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true"),
            f"-Dlog4j2.configurationFile={self._logging}",
            *("-XX:-UsePerfData", "-cp", self._class_path),
        )

    def _format(self, cluster: bytes) -> None:
        identity = base64.urlsafe_b64encode(cluster).rstrip(b"=").decode()
        argv = (
            *self._run_java("-XX:TieredStopAtLevel=1"),
            *("kafka.tools.StorageTool", "format", "-c", str(self._properties)),
            # One word: an id may begin with a dash, which alone would be taken for an option.
            f"--cluster-id={identity}",
        )
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=FORMAT_S,
                check=False,
                env=plain_environment(),
                cwd=self.data,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Unavailable(
                self.name, f"its data folder cannot be formatted: {problem}"
            ) from None
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip() or log_tail(self.log)
            raise Unavailable(self.name, f"its data folder cannot be formatted: {said[-500:]}")
