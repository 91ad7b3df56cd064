"""Values in line protocol, and tags of series beside tags of ours."""

import re
from collections.abc import Collection, Mapping

_PREFIX = "tag_"


def number_text(value: float) -> str:
    """Return a number as a float's field value, as short as it can be.

    Examples
    --------
    >>> number_text(12.0), number_text(0.1), number_text(1e300)
    ('12', '0.1', '1e+300')
    """
    return repr(float(value)).removesuffix(".0")


def string_text(text: str) -> str:
    r"""Return a text as a string's field value.

    Examples
    --------
    >>> print(string_text('a "b" \\'))
    "a \"b\" \\"
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def renamed_tags(tags: Mapping[str, str], reserved: Collection[str]) -> dict[str, str]:
    """Return tags of which none has a reserved name: such a tag, with any ``tag_`` before it, gets one more.

    Examples
    --------
    >>> renamed_tags({"host": "a", "metric": "b", "tag_metric": "c"}, {"metric"})
    {'host': 'a', 'tag_metric': 'b', 'tag_tag_metric': 'c'}
    """
    return {_PREFIX + key if _bare(key) in reserved else key: value for key, value in tags.items()}


def original_tags(tags: Mapping[str, str], reserved: Collection[str]) -> dict[str, str]:
    """Return tags as they were before `renamed_tags`, those of ours left out.

    Examples
    --------
    >>> original_tags({"host": "a", "metric": "cpu", "tag_metric": "b"}, {"metric"})
    {'host': 'a', 'metric': 'b'}
    """
    return {
        key.removeprefix(_PREFIX) if _bare(key) in reserved else key: value
        for key, value in tags.items()
        if key not in reserved
    }


def _bare(key: str) -> str:
    return re.sub(f"^({_PREFIX})+", "", key)
