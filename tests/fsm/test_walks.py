"""Random walks over the machine hold what DESIGN promises of every connection, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import settings

from support.walk import Walk

TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
