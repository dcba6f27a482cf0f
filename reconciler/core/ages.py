"""Spans of time as people say them, when they look back."""

from __future__ import annotations

from datetime import timedelta


def human_age(age: timedelta) -> str:
    """Say it in the largest unit of which there are some: `50 min`, `71 h`, `3 days`."""
    hours = age.total_seconds() / 3600
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
