"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.support.searching import trying

# Most need no more to meet each kind of case; one that does, or is slow, names its own number.
settings.register_profile("suite", trying(50))
settings.load_profile("suite")
# A shell starts what runs in its background with interrupts ignored, and what the tests start would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
