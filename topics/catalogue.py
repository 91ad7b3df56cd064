"""The topic catalogue as models: every topic's key, value, partitions, cleanup and retention."""

from functools import lru_cache
from importlib import resources
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Topic(BaseModel):
    """One topic of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=200, description="The topic's name.")
    key: str = Field(min_length=1, description="What a record's key is.")
    value: str = Field(min_length=1, description="What a record's value is.")
    partitions: int = Field(ge=1, description="How many partitions it has by default.")
    scales: bool = Field(description="Whether it is keyed by resource: then its partitions are chosen to fit.")
    cleanup: Literal["delete", "compact"] = Field(description="Kafka's cleanup policy.")
    retention_ms: int | None = Field(ge=60_000, description="How long records stay, in milliseconds; none: compacted.")
    written_by: str = Field(min_length=1, description="Who writes to it.")
    description: str = Field(min_length=1, description="What it is for, in one line.")
    config: dict[str, str] = Field(default={}, description="Further topic settings, as Kafka names them.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.retention_ms is None) != (self.cleanup == "compact"):
            raise ValueError(f"{self.name}: retention_ms belongs to cleanup delete, and only there")
        if self.config.keys() & {"cleanup.policy", "retention.ms"}:
            raise ValueError(f"{self.name}: cleanup and retention have fields of their own")
        return self

    def kafka_config(self) -> dict[str, str]:
        """Return all of the topic's settings as Kafka names them."""
        retention = {} if self.retention_ms is None else {"retention.ms": str(self.retention_ms)}
        return {"cleanup.policy": self.cleanup} | retention | self.config


@lru_cache(maxsize=1)
def load_topics() -> tuple[Topic, ...]:
    """Return the topics of this package in the order of the data, read once.

    Raises
    ------
    pydantic.ValidationError
        If the file breaks a rule: a fault of the package.
    """
    text = resources.files("topics").joinpath("catalogue.yaml").read_bytes()
    return tuple(Topic.model_validate(entry) for entry in yaml.safe_load(text))
