"""The eras of servers on which the tests of the client run: all four, unless a test names some.

A module whose tests dial a server sets ``pytestmark = ON_EVERY_ERA``; then each `Network` has the era of the test. A test of a
feature that only some servers have names their eras, with the reason: ``@only("E4", because="...")``.
"""

from __future__ import annotations

import pytest

from realtime_fsm.testing.eras import EraName

ON_EVERY_ERA = pytest.mark.usefixtures("server_era")


def only(*eras: EraName, because: str) -> pytest.MarkDecorator:
    """Run a test on these eras; ``because`` is the reason to leave out the others."""
    return pytest.mark.eras(*eras, because=because)


BY_MESSAGE = only("E4", because="it is about messages that subscribe, or authenticate; older servers take channels from the URL")
NO_SERVER = only("E4", because="it never comes to a server")
