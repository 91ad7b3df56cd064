"""The kinds of policies that there are, and how each is read."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from pipeline.core.detection_rules import detection_rule
from schemas.trigger_policy import trigger_policy

DEFAULT_KIND: Final = "trigger"
"""Of a document that does not say."""

KINDS: Final[Mapping[str, Callable[[Any], BaseModel]]] = {
    "detection": detection_rule,
    "trigger": trigger_policy,
}
"""By kind: what makes a policy of a decoded document, and raises ValueError for what is wrong in it."""


def policy_key(kind: str, name: str) -> str:
    """Return the key of a policy on ``policies``.

    Examples
    --------
    >>> policy_key("detection", "quiet-disks")
    'detection/quiet-disks'
    """
    return f"{kind}/{name}"


def policy_of(kind: str, value: bytes) -> BaseModel:
    """Return the policy that a record's value is.

    Raises
    ------
    ValueError
        If it is no JSON, or no policy of that kind.
    """
    try:
        document = json.loads(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return KINDS[kind](document)
