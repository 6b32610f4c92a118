"""The root of everything that realtime_fsm raises; `realtime_fsm.errors` draws the tree."""

from __future__ import annotations

from typing import Any, Self


def _unpickle(cls: type[RealtimeError], args: tuple[Any, ...], fields: dict[str, Any]) -> RealtimeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class RealtimeError(Exception):
    """The root of everything that this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields are set by keyword in __init__, so the default (cls(*args)) could not copy or pickle them.
        return _unpickle, (type(self), self.args, self.__dict__)

    def copy_for_raise(self) -> Self:
        """A copy to raise: one stored error is raised in several tasks, and each traceback is its own."""
        copy = _unpickle(type(self), self.args, self.__dict__)
        copy.__cause__ = self.__cause__
        assert isinstance(copy, type(self))
        return copy
