"""Proves or refutes that every sample of a period is accounted for: reads the topics, and asks nobody who wrote them."""
