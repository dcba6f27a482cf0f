"""One outside system in each room, behind a port of `core.ports`."""
