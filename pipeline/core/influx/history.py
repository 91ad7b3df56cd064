"""Line protocol for one chunk of down-sampled history: a line a kept point, and one for what is known of the chunk."""

from hashlib import blake2b
from typing import NamedTuple

import orjson

from pipeline.core.influx.escaping import escaped_measurement, escaped_tag
from pipeline.core.influx.values import number_text, renamed_tags, string_text
from schemas.downsampled import DownsampledChunk

FIELD_TAG, SERIES_TAG = "metric", "sid"
"""The tags that a series gets beside its own: its field's name, and what no other series has. Both are no words of
InfluxQL, whose parser also reads the conditions of deletions."""

RESERVED = frozenset({FIELD_TAG, SERIES_TAG})
"""Those tags."""


class ChunkLines(NamedTuple):
    """A chunk as it is written.

    Attributes
    ----------
    series
        The value of `SERIES_TAG`: 16 hexadecimal digits.
    start_ms, end_ms, revision
        Of the chunk.
    text
        Its lines, without a newline at the end; times are milliseconds.
    line_count
        How many lines.
    """

    series: str
    start_ms: int
    end_ms: int
    revision: int
    text: bytes
    line_count: int


def series_of(chunk: DownsampledChunk) -> str:
    """Return what stands for the chunk's series: 16 hexadecimal digits of a hash of measurement, field and tags.

    A deletion in InfluxDB names tags alone and also takes series that have more of them: only a tag of its own tells
    one series from all others.
    """
    name = orjson.dumps([chunk.measurement, chunk.field, chunk.tags], option=orjson.OPT_SORT_KEYS)
    return blake2b(name, digest_size=8).hexdigest()


def encode_chunk(chunk: DownsampledChunk) -> ChunkLines:
    """Encode a chunk.

    Parameters
    ----------
    chunk
        The chunk. A tag of its series that is named as one of ours is renamed (`influx_values.renamed_tags`).

    Returns
    -------
    ChunkLines
        For each point ``measurement,tags value=… time``, with ``step=t`` where the point is reached by a step; last,
        at the chunk's start, what is known of it: ``n`` and ``sum`` of the samples, their ``min`` and ``max`` where the
        points have another, ``sigma`` and ``max_error`` of the residual (three digits; absent where they are 0),
        ``gap=t`` if nothing may be drawn before it, ``last_ms``, ``span_ms``, ``revision``, ``class`` and ``encoder``.

    Raises
    ------
    ValueError
        If the measurement cannot stand in line protocol.
    """
    series = series_of(chunk)
    tags = {**renamed_tags(chunk.tags, RESERVED), FIELD_TAG: chunk.field, SERIES_TAG: series}
    head = escaped_measurement(chunk.measurement) + "".join(escaped_tag(key, tags[key]) for key in sorted(tags))
    texts = orjson.dumps([value for _, value, _ in chunk.points]).decode()[1:-1].split(",")  # a third of repr's time
    lines = [
        f"{head} value={text.removesuffix('.0')}{',step=t' if interp == 's' else ''} {time_ms}"
        for text, (time_ms, _, interp) in zip(texts, chunk.points, strict=True)
    ]
    lines.append(f"{head} {_known(chunk)} {chunk.start_ms}")
    text = "\n".join(lines).encode()
    return ChunkLines(series, chunk.start_ms, chunk.end_ms, chunk.revision, text, len(lines))


def _known(chunk: DownsampledChunk) -> str:
    parts = [
        f"class={string_text(chunk.series_class)},encoder={string_text(chunk.encoder)}",
        f"n={chunk.count}i,span_ms={chunk.end_ms - chunk.start_ms}i,last_ms={chunk.last_ms}i",
        f"revision={chunk.revision}i,sum={number_text(chunk.sum)}",
    ]
    kept = [value for _, value, _ in chunk.points]
    parts += [f"min={number_text(chunk.min)}"] if chunk.min != min(kept) else []
    parts += [f"max={number_text(chunk.max)}"] if chunk.max != max(kept) else []
    errors = {"sigma": chunk.sigma, "max_error": chunk.max_error}
    parts += [f"{name}={value:.3g}" for name, value in errors.items() if value]
    parts += ["gap=t"] if chunk.gap else []
    return ",".join(parts)
