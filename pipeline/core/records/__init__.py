"""From the bytes of records to samples of numbered series."""
