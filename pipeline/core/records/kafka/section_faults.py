"""What can be wrong with the records of a batch of Kafka's."""

from typing import Final

SECTION_OK: Final = 0
SECTION_TRUNCATED: Final = 1
SECTION_VARINT: Final = 2
SECTION_LENGTH: Final = 3
SECTION_OFFSET: Final = 4
SECTION_TRAILING: Final = 5
SECTION_FAULTS: Final = {
    SECTION_TRUNCATED: "a record reaches beyond the end of its batch",
    SECTION_VARINT: "a variable-length integer is longer than ten bytes or does not fit its field",
    SECTION_LENGTH: "a length inside a record does not fit the record",
    SECTION_OFFSET: "offsets do not rise or lie outside of the batch",
    SECTION_TRAILING: "bytes are left over after the last record",
}
