"""The instrumentation point, across a fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORKING = """
import os
from realtime_fsm import hooks

class Connection: pass

connection = hooks.connections["c1"] = Connection()
child = os.fork()
if not child:
    os._exit(40 + len(hooks.all_connections()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), hooks.all_connections() == [connection])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_none_of_the_connections_of_its_parent() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["40", "True"]
