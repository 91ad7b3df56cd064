"""Bytes taken eight at a time, in compiled code: hashing, comparing and searching of short texts.

The bit tricks are those of S. E. Anderson, "Bit Twiddling Hacks" (determine if a word has a byte less than n), and of
D. Lemire, "Quickly parsing eight digits" (2018). Words are little-endian, as on every machine that numba runs on.
"""

import numpy as np

from pipeline.core.compiled import Bytes, Int, compiled
from pipeline.core.instructions import load_word, store_word, trailing_zeros

_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_EQUALS = np.uint64(0x3D3D3D3D3D3D3D3D)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_ZEROS = np.uint64(0x3030303030303030)
_BASIS = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


@compiled
def _tail(data: Bytes, start: Int, end: Int) -> np.uint64:
    """Read fewer than eight bytes as one word."""
    word = np.uint64(0)
    for i in range(end - start):
        word |= np.uint64(data[start + i]) << np.uint64(8 * i)
    return word


@compiled
def hash_bytes(data: Bytes, start: Int, end: Int) -> np.uint64:
    """Hash ``data[start:end]``; the length counts, and so does every byte."""
    h = _BASIS ^ np.uint64(end - start)
    p = start
    while p + 8 <= end:
        h = (h ^ load_word(data, p)) * _PRIME
        h ^= h >> _HALF
        p += 8
    if p < end:
        rest = load_word(data, end - 8) if end - start >= 8 else _tail(data, p, end)
        h = (h ^ rest) * _PRIME
        h ^= h >> _HALF
    return h * _PRIME ^ (h >> _HALF)


@compiled
def same_bytes(a: Bytes, a_start: Int, b: Bytes, b_start: Int, length: Int) -> bool:
    """Return whether ``length`` bytes of two arrays are the same."""
    if length >= 8:
        i = 0
        while i + 8 <= length:
            if load_word(a, a_start + i) != load_word(b, b_start + i):
                return False
            i += 8
        return bool(load_word(a, a_start + length - 8) == load_word(b, b_start + length - 8))
    for i in range(length):
        if a[a_start + i] != b[b_start + i]:
            return False
    return True


@compiled
def find_equals(data: Bytes, p: Int, end: Int) -> Int:
    """Return where the first ``=`` from ``p`` on stands, ``end`` if there is none."""
    while p + 8 <= end:
        word = load_word(data, p) ^ _EQUALS
        hit = (word - _ONES) & ~word & _HIGHS
        if hit != 0:
            return p + np.int64(trailing_zeros(hit) >> np.uint64(3))
        p += 8
    while p < end and data[p] != 61:
        p += 1
    return p


@compiled
def find_key_end(data: Bytes, p: Int, end: Int) -> Int:
    """Return where the first space, control character or backslash from ``p`` on stands, ``end`` if there is none."""
    while p + 8 <= end:
        word = load_word(data, p)
        slashes = word ^ _BACKSLASHES
        hit = (((word - np.uint64(0x21) * _ONES) & ~word) | ((slashes - _ONES) & ~slashes)) & _HIGHS
        if hit != 0:
            return p + np.int64(trailing_zeros(hit) >> np.uint64(3))
        p += 8
    while p < end and data[p] > 32 and data[p] != 92:
        p += 1
    return p


@compiled
def eight_digits(word: np.uint64) -> Int:
    """Return the number that eight ASCII digits write, or -1 if one of them is none."""
    digits = word ^ _ZEROS
    if (digits | (digits + np.uint64(0x0606060606060606))) & np.uint64(0xF0F0F0F0F0F0F0F0) != 0:
        return -1
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    low = (digits & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((digits >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return np.int64((low + high) >> _HALF)


@compiled
def ascii_of_eight(value: np.uint64) -> np.uint64:
    """Return the eight ASCII digits of a number below 10**8, the first in the lowest byte."""
    upper = value // np.uint64(10_000)
    halves = upper | ((value - upper * np.uint64(10_000)) << _HALF)
    hundreds = ((halves * np.uint64(10_486)) >> np.uint64(20)) & np.uint64(0x0000007F0000007F)
    pairs = hundreds | ((halves - np.uint64(100) * hundreds) << np.uint64(16))
    tens = ((pairs * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    return (tens | ((pairs - np.uint64(10) * tens) << np.uint64(8))) | _ZEROS


@compiled
def copy_words(source: Bytes, start: Int, length: Int, out: Bytes, at: Int) -> Int:
    """Copy bytes eight at a time; return the position after them.

    Reads and writes up to seven bytes beyond: both arrays must have them.
    """
    i = 0
    while i < length:
        store_word(out, at + i, load_word(source, start + i))
        i += 8
    return at + length
