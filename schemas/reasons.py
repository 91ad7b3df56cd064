"""Why a record, a line or a sample was not used: closed sets, so that metrics can carry them as labels."""

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Why bytes went to ``dead-letters``."""

    PARSE_SYNTAX = "PARSE_SYNTAX"
    """The line or document does not follow its format's grammar."""
    PARSE_NUMBER = "PARSE_NUMBER"
    """A number is malformed, or an integer does not fit in 64 bits."""
    NO_FIELDS = "NO_FIELDS"
    """A metric without a field."""
    NO_TIMESTAMP = "NO_TIMESTAMP"
    """Neither the metric nor its record has a timestamp."""
    TIMESTAMP_RANGE = "TIMESTAMP_RANGE"
    """The timestamp does not fit in signed 64-bit nanoseconds."""
    TIMESTAMP_FUTURE = "TIMESTAMP_FUTURE"
    """The timestamp is further ahead of the clock than the setting allows."""
    TOO_LARGE = "TOO_LARGE"
    """The record, or a part of it, is larger than the limit."""
    UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
    """The bytes are neither line protocol nor one of Telegraf's JSON shapes."""
    UNREADABLE_BATCH = "UNREADABLE_BATCH"
    """A Kafka record batch that cannot be decompressed or decoded."""
    TOO_LATE = "TOO_LATE"
    """A sample for a window that is closed and not kept any more."""
    STORE_REJECTED = "STORE_REJECTED"
    """The store refused this point for good."""


class FilterReason(StrEnum):
    """Why a field's value is no sample."""

    STRING = "string"
    """A string field that the metric catalogue does not ask for."""
    NOT_FINITE = "not_finite"
    """NaN or infinity, also a number beyond the range of a double."""
    OVERFLOW = "overflow"
    """Finite, and so great that a sum over a chunk of down-sampling would not be; such values have windows."""


class PolicyRefusal(StrEnum):
    """Why a record of ``policies`` changed nothing."""

    KEY = "key"
    """Its key is not ``KIND/ID``."""
    VALUE = "value"
    """Its value is no policy of that kind."""
    TOO_LARGE = "too_large"
    """Its value is larger than a policy may be."""


class NotScored(StrEnum):
    """Why a window, or a value in it, was not scored."""

    NOT_WATCHED = "not_watched"
    """No rule and no entry of the metric catalogue asks for anything in it."""
    SUPERSEDED = "superseded"
    """The window was scored before, or a later one of its group: a score never changes."""
    UNREADABLE = "unreadable"
    """The record is no window: it went to ``dead-letters``."""
    NO_VALUE = "no_value"
    """The window has no such function of this field, as the first window of a counter has no rate."""
    TOO_MANY = "too_many"
    """A detector of river's is asked for by more series than the setting allows."""
