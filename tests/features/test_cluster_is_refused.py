"""A Redis Cluster is refused by the name of its setting: this version keeps one bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from risk.domain.errors import BadConfiguration
from risk.local.ports import pick
from risk.local.redis import RedisServer
from tests.support.memory import opened


class ClusterServer(RedisServer):
    """A server that runs as one node of a cluster."""

    def prepare(self) -> None:
        super().prepare()
        with (self.data / "redis.conf").open("a") as file:
            # Its own default is its port + 10,000, which may be taken.
            file.write(f"cluster-enabled yes\ncluster-port {pick()}\n")


@pytest.mark.services
async def test_a_cluster_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    server = ClusterServer(tmp_path / "cluster")
    server.start()
    try:
        with pytest.raises(BadConfiguration, match=r"WEIR_REDIS.*Cluster"):
            await opened(server.url)
    finally:
        server.stop()
