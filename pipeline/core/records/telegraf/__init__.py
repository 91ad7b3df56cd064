"""Telegraf's formats to samples: compiled, and plain for what that refuses."""
