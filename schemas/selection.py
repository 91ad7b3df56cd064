"""Which series a policy is about: globs over what a series is called and whose it is."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST_GLOB = 200
MOST_STARS = 10
MOST_SEARCHES = 2000
"""Of one document, as `searches` counts them; each looks at every character of a tag once."""


def _few_stars(glob: str) -> str:
    if glob.count("*") > MOST_STARS:
        raise ValueError(f"must have at most {MOST_STARS} stars, got {glob.count('*')}")
    return glob


Glob = Annotated[str, Field(min_length=1, max_length=LONGEST_GLOB), AfterValidator(_few_stars)]
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


def check_searches(where: Where, targets: Iterable[Target], names: Iterable[str] = ()) -> None:
    """Refuse a document whose globs take long to match: it is compared with each series of everybody.

    Parameters
    ----------
    where, targets
        Globs of series.
    names
        Further globs.

    Raises
    ------
    ValueError
        With more than `MOST_SEARCHES`, together.
    """
    globs = [where.measurement, where.field, *where.tags.values(), *names]
    for target in targets:
        globs += target.model_dump().values()
    found = sum(map(searches, globs))
    if found > MOST_SEARCHES:
        raise ValueError(
            f"its globs take {found} searches of a text, allowed are {MOST_SEARCHES}: "
            "name things literally, or with one star each"
        )


def searches(glob: str) -> int:
    """Return how often matching a glob looks at each character of a text, at most.

    Examples
    --------
    >>> [searches(glob) for glob in ("cpu", "*", "kr-*", "*a*b*", "*a?*")]
    [0, 0, 1, 3, 5]
    """
    if glob == "*" or not any(sign in glob for sign in "*?["):
        return 0
    stars = glob.count("*")
    if stars < 2:  # nothing stands between stars: the ends are compared, nothing is searched
        return 1
    return 1 + (len(glob) if "?" in glob or "[" in glob else stars - 1)
