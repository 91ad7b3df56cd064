"""The machines of the simulated fleet: who they are, and where."""

from dataclasses import dataclass

import numpy as np

NODES_PER_INFRA = 10
INFRAS_PER_NAMESPACE = 5
GIB = 2**30

# Provider, region, hours that the local time is ahead of UTC.
_REGIONS = (
    ("aws", "ap-northeast-2", 9.0),
    ("aws", "us-east-1", -5.0),
    ("aws", "eu-central-1", 1.0),
    ("gcp", "asia-northeast3", 9.0),
    ("gcp", "us-west1", -8.0),
    ("azure", "koreacentral", 9.0),
    ("azure", "westeurope", 1.0),
    ("alibaba", "ap-south-1", 5.5),
    ("tencent", "sa-saopaulo", -3.0),
    ("ncp", "kr", 9.0),
)

# Cores, GiB of memory, GiB of disk: the sizes that are rented most.
_SIZES = ((2, 4, 50), (4, 16, 100), (8, 32, 200), (16, 64, 500))


@dataclass(frozen=True, slots=True)
class Host:
    """One virtual machine."""

    ns_id: str
    infra_id: str
    node_id: str
    name: str
    csp: str
    region: str
    os_type: str
    utc_offset_hours: float
    cores: int
    memory_bytes: int
    disk_bytes: int

    @property
    def resource(self) -> str:
        """The key of its records."""
        return f"{self.ns_id}/{self.infra_id}/{self.node_id}"

    @property
    def tags(self) -> dict[str, str]:
        """The identity tags of its metrics."""
        return {
            "csp": self.csp,
            "host": self.name,
            "infra_id": self.infra_id,
            "node_id": self.node_id,
            "ns_id": self.ns_id,
            "osType": self.os_type,
            "region": self.region,
        }


def hosts_of(count: int, rng: np.random.Generator) -> list[Host]:
    """Return the fleet's machines: infrastructures of ten nodes, each in one region, five to a namespace."""
    hosts = []
    for position in range(count):
        infra = position // NODES_PER_INFRA
        csp, region, offset = _REGIONS[infra % len(_REGIONS)]
        cores, memory_gib, disk_gib = _SIZES[int(rng.integers(len(_SIZES)))]
        infra_id = f"mci{infra + 1:02d}"
        node_id = f"node{position % NODES_PER_INFRA + 1:02d}"
        hosts.append(
            Host(
                ns_id=f"ns{infra // INFRAS_PER_NAMESPACE + 1:02d}",
                infra_id=infra_id,
                node_id=node_id,
                name=f"{infra_id}-{node_id}",
                csp=csp,
                region=region,
                os_type="windows" if rng.random() < 0.1 else "linux",
                utc_offset_hours=offset,
                cores=cores,
                memory_bytes=memory_gib * GIB,
                disk_bytes=disk_gib * GIB,
            )
        )
    return hosts
