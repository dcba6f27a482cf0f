"""Seeing that files change: told by the system where it tells, and by looking where it does not."""
