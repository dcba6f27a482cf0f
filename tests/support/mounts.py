"""A table of mounts as kernels write it, with one of each kind that is told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ORDINARY: Final = "28 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
TABLE: Final = Path(__file__).with_name("mountinfo.txt").read_text()
