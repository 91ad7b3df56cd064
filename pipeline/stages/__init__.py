"""The stages move: decode, one core call, send. One file per stage, in the order of the data."""
