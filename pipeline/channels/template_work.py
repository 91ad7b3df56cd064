"""The operations of templates, each charged with the most that it can come to before it is carried out."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context, markup_join, str_join

__all__ = ["LONGEST_RENDER_S", "METER", "MOST_WORK", "Meter", "add", "concat", "counted", "each", "filtered", "written"]

LONGEST_RENDER_S: Final = 0.5
MOST_WORK: Final = 2_000_000
"""Characters and steps of one rendering: all values that it makes are together no longer."""
METER: Final = "_meter"
"""The name under which a rendering's meter stands, which no template can write."""
_GROWTH: Final[Mapping[str, int]] = {
    "capitalize": 3, "e": 5, "escape": 5, "lower": 3, "sort": 16, "title": 12, "tojson": 12, "upper": 3,
    "urlencode": 12,
}  # fmt: skip
"""By which factor a filter makes text longer, at most (of sort: compares it)."""
_ESCAPED: Final = "<>&'\"\\"
"""What JSON writes longer."""
_CONSTANT: Final = frozenset(("count", "d", "default", "first", "items", "last", "length"))
"""Filters that make nothing of what they are given but look at it."""


class Meter:
    """What is left of a rendering's work and time."""

    def __init__(self) -> None:
        self._left = MOST_WORK
        self._deadline_s = time.monotonic() + LONGEST_RENDER_S

    def charge(self, work: int) -> None:
        """Take work off what is left; raise `TimeoutError` if that is less, or the time is over."""
        self._left -= work
        if self._left < 0:
            raise TimeoutError(f"its values are together longer than {MOST_WORK} characters")
        if time.monotonic() > self._deadline_s:
            raise TimeoutError(f"it takes longer than {LONGEST_RENDER_S:g} s")

    def charge_text(self, value: Any, factor: int = 1, quoting: int = 10) -> None:
        """Charge a text `factor` times, odd ones within lists `quoting` times that; refuse what is no value."""
        if isinstance(value, str):
            is_plain = value.isascii() and value.isprintable() and not any(sign in value for sign in _ESCAPED)
            self.charge((1 if is_plain and quoting == 1 else factor) * (len(value) + 2))
        elif isinstance(value, int):
            self.charge(factor * (value.bit_length() // 3 + 6))
        elif isinstance(value, Mapping):
            self._charge_all(value.keys(), factor, quoting)
            self._charge_all(value.values(), factor, quoting)
        elif isinstance(value, (list, tuple)):
            self._charge_all(value, factor, quoting)
        elif value is None or isinstance(value, (float, Undefined)):
            self.charge(factor * 24)
        else:
            raise TypeError(f"{type(value).__name__} is no value")

    def _charge_all(self, values: Any, factor: int, quoting: int) -> None:
        for value in values:
            self.charge(4 * factor)
            is_quoted = isinstance(value, str) and not (value.isprintable() and "\\" not in value and "'" not in value)
            self.charge_text(value, factor * quoting if is_quoted else factor, quoting)


@pass_context
def written(context: Context, value: Any) -> Any:
    """Return a value that may be written; of others, as of methods, nothing."""
    if value is not None and not isinstance(value, (str, int, float, list, dict, tuple, Undefined)):
        return ""
    context[METER].charge_text(value, 5 if context.eval_ctx.autoescape and not hasattr(value, "__html__") else 1)
    return value


@pass_context
def each(context: Context, items: Any, steps: int) -> Iterator[Any]:
    """Yield what a loop goes over, each turn charged with its steps."""
    if isinstance(items, (str, int, float)):
        raise TypeError("a loop needs a list")
    for item in items:
        context[METER].charge(steps)
        yield item


@pass_context
def concat(context: Context, parts: list[Any]) -> str:
    """Return parts as one text, as ``~`` does."""
    escapes = context.eval_ctx.autoescape
    for part in parts:
        context[METER].charge_text(part, 5 if escapes else 1)
    return markup_join(parts) if escapes else str_join(parts)


@pass_context
def counted(context: Context, value: Any) -> Any:
    """Return what is to be compared, charged."""
    context[METER].charge_text(value)
    return value


@pass_context
def filtered(context: Context, value: Any, name: str, *arguments: Any) -> Any:
    """Return what a filter makes of a value."""
    if name == "sort" and isinstance(value, Iterator):
        value = list(value)
    if name == "sort" and isinstance(value, str):
        raise TypeError("sort needs a list")
    if name not in _CONSTANT:
        context[METER].charge_text(value, _GROWTH.get(name, 1), 1 if name == "tojson" else 10)
    return context.environment.call_filter(name, value, arguments, context=context)


def add(context: Context, left: Any, right: Any) -> None:
    """Charge a sum before it is made."""
    factor = 5 if hasattr(left, "__html__") or hasattr(right, "__html__") else 1
    context[METER].charge_text(left, factor)
    context[METER].charge_text(right, factor)
