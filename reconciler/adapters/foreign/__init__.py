"""Models that other programs keep on this machine: looked at, never changed."""
