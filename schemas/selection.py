"""Which series a policy is about: globs over what a series is called and whose it is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Glob = Annotated[str, Field(min_length=1, max_length=500)]
"""``*`` any characters, ``?`` one, ``[ab]`` one of those; the case counts."""


class Part(BaseModel):
    """A part of a policy: frozen, and nothing in it that its model does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Where(Part):
    """Which series."""

    measurement: Glob = Field("*", description="Glob that the measurement must match.")
    field: Glob = Field("*", description="Glob that the field must match.")
    tags: dict[str, Glob] = Field(
        default={}, max_length=50, description="Globs that these tags must match; a missing tag matches nothing."
    )


class Target(Part):
    """Whose series: globs of identity tags, all of which must match; ``*`` matches a missing tag too."""

    ns_id: Glob = Field("*", description="Namespace.")
    infra_id: Glob = Field("*", description="Infrastructure (MCI, MCIS, MCK8s).")
    node_id: Glob = Field("*", description="Node.")
    region: Glob = Field("*", description="Region.")
    csp: Glob = Field("*", description="Cloud provider.")
