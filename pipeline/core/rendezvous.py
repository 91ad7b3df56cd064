"""Which of several databases a series lies in: rendezvous hashing."""

from collections.abc import Sequence
from hashlib import blake2b


def chosen(names: Sequence[str], key: bytes) -> str:
    """Return the name that has the key; the order of the names does not matter.

    Parameters
    ----------
    names
        At least one, each once, none with a NUL in it.
    key
        What is placed.

    Notes
    -----
    Each name gets a hash together with the key, and the greatest wins. When a name is added to n others it takes every
    (n + 1)-th key, and no key moves between the others; when one goes, only its own keys move.

    Source: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", 1998.

    Examples
    --------
    >>> [chosen(["a", "b"], key) for key in (b"1", b"2", b"3", b"4")]
    ['a', 'a', 'b', 'a']
    >>> [chosen(["c", "b", "a"], key) for key in (b"1", b"2", b"3", b"4")]
    ['c', 'c', 'b', 'a']
    """
    return max(names, key=lambda name: (blake2b(name.encode() + b"\0" + key, digest_size=8).digest(), name))
