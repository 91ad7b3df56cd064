"""Kafka's four compressions, decompressed into a given buffer and never beyond it."""

import struct
import zlib
from collections.abc import Callable
from typing import Final

import cramjam

CODECS: Final = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_SIZE: Final = 16
_OUTPUT_FULL: Final = ("whole buffer", "too small")  # how cramjam says that lz4's and zstd's output does not fit


class CannotDecompressError(Exception):
    """A batch's compressed bytes are damaged, too large, or of a codec that is not assigned."""


class OutputFullError(Exception):
    """The output is larger than the buffer; a larger one may hold it."""


def decompress(codec: int, packed: memoryview, plain: memoryview) -> int:
    """Write a records section in plain; return how many bytes it has.

    Parameters
    ----------
    codec
        The batch header's: 0 none, 1 gzip, 2 snappy (raw or in xerial's blocks), 3 lz4 (frames), 4 zstd.
    packed
        The bytes after the batch header.
    plain
        Where they go, writable.

    Raises
    ------
    CannotDecompressError
        When the bytes are damaged or the codec is not known.
    OutputFullError
        When `plain` is too small.
    """
    try:
        decode = _DECODERS[codec]
    except KeyError as error:
        raise CannotDecompressError(f"compression codec {codec} is not one of {CODECS}") from error
    try:
        return decode(packed, plain)
    except cramjam.DecompressionError as error:
        message = str(error)
        if any(sign in message for sign in _OUTPUT_FULL):
            raise OutputFullError(message) from error
        raise CannotDecompressError(f"{CODECS[codec]}: {message}") from error
    except (zlib.error, struct.error, ValueError) as error:
        raise CannotDecompressError(f"{CODECS[codec]}: {error}") from error


def _copy(packed: memoryview, plain: memoryview) -> int:
    if len(packed) > len(plain):
        raise OutputFullError(f"more than the {len(plain)} bytes there is room for")
    plain[: len(packed)] = packed
    return len(packed)


def _gunzip(packed: memoryview, plain: memoryview) -> int:
    written = 0
    rest: memoryview | bytes = packed
    while len(rest):
        member = zlib.decompressobj(wbits=31)
        part = member.decompress(rest, len(plain) - written + 1)
        written += _copy(memoryview(part), plain[written:])
        if not member.eof:
            raise CannotDecompressError("gzip: the stream is cut off")
        rest = member.unused_data
    return written


def _unsnappy(packed: memoryview, plain: memoryview) -> int:
    if packed[: len(_XERIAL_MAGIC)].tobytes() != _XERIAL_MAGIC:
        return _unsnappy_block(packed, plain)
    written = 0
    at = _XERIAL_HEADER_SIZE
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        at += 4
        if not 0 < size <= len(packed) - at:
            raise CannotDecompressError(f"snappy: a block of {size} bytes where {len(packed) - at} are left")
        written += _unsnappy_block(packed[at : at + size], plain[written:])
        at += size
    return written


def _unsnappy_block(packed: memoryview, plain: memoryview) -> int:
    if cramjam.snappy.decompress_raw_len(packed) > len(plain):
        raise OutputFullError(f"more than the {len(plain)} bytes there is room for")
    return cramjam.snappy.decompress_raw_into(packed, plain)


_DECODERS: Final[dict[int, Callable[[memoryview, memoryview], int]]] = {
    0: _copy,
    1: _gunzip,
    2: _unsnappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
