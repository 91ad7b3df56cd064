"""How large the fault tests are: bounded in ``make test``, whole in ``make faults`` (``CINNAMON_FAULTS=full``)."""

import os

import pytest

FULL = os.environ.get("CINNAMON_FAULTS") == "full"

only_full = pytest.mark.skipif(not FULL, reason="a part of make faults")


def size(full: int, bounded: int) -> int:
    """Return the first number in ``make faults`` and the second in ``make test``."""
    return full if FULL else bounded
