"""On which eras of servers the tests of the client run: on all four, where they do not say otherwise.

A module whose tests speak to a server says ``pytestmark = ON_EVERY_ERA``; `Network` is then of the era of the test. A test
that is about something that only some servers have says which, and why: ``@only("E4", because="...")``.
"""

from __future__ import annotations

import pytest

from realtime_fsm.testing.eras import EraName

ON_EVERY_ERA = pytest.mark.usefixtures("server_era")


def only(*eras: EraName, because: str) -> pytest.MarkDecorator:
    """Run a test on these eras; the reason says why not on the others."""
    return pytest.mark.eras(*eras, because=because)


BY_MESSAGE = only("E4", because="it is about messages that subscribe, or authenticate; older servers take addresses")
NO_SERVER = only("E4", because="it never comes to a server")
