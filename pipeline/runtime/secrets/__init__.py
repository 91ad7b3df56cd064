"""Secrets from files, or encrypted at rest."""
