"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

from tests.support.searching import trying

# Most need no more to meet each kind of case; one that does, or is slow, names its own number.
settings.register_profile("suite", trying(50))
settings.load_profile("suite")
