"""The options of a delivery are a value, whatever context its callables run in."""

from __future__ import annotations

from contextvars import ContextVar, copy_context

from realtime_fsm.runtime.delivery import DeliveryOptions

secret: ContextVar[str] = ContextVar("secret")


def test_the_context_of_a_user_is_no_part_of_the_options_that_are_shown_and_compared() -> None:
    context = copy_context()
    context.run(secret.set, "geheim")
    given = DeliveryOptions(buffer=5, context=context)
    assert given == DeliveryOptions(buffer=5)
    assert "context" not in repr(given)
