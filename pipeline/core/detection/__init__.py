"""Windows in, verdicts and incidents out."""
