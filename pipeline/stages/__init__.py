"""The stages move: decode, one core call, send. A folder a stage, in the order of the data."""
