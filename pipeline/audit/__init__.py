"""Proves or refutes that every sample of a period is accounted for, from what lies on the topics alone."""
