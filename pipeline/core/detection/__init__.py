"""Windows in, scores and incidents out."""
