"""The kinds of policies that there are, and how each is read."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from pipeline.core.detection.rules import detection_rule
from schemas.channel import Channel
from schemas.mistakes import model_of
from schemas.scenario import Scenario
from schemas.script import Approval, Script
from schemas.silence import Acknowledgement, Inhibition, Maintenance, Silence
from schemas.trigger_policy import trigger_policy

DEFAULT_KIND: Final = "trigger"
"""Of a document that does not say."""

KINDS: Final[Mapping[str, Callable[[Any], BaseModel]]] = {
    "acknowledgement": partial(model_of, Acknowledgement),
    "approval": partial(model_of, Approval),
    "channel": partial(model_of, Channel),
    "detection": detection_rule,
    "inhibition": partial(model_of, Inhibition),
    "maintenance": partial(model_of, Maintenance),
    "scenario": partial(model_of, Scenario),
    "script": partial(model_of, Script),
    "silence": partial(model_of, Silence),
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
