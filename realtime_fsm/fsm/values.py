"""The base of inputs and commands: frozen values, whose secrets no repr shows.

Design: msgspec makes such a class fifty times as fast as `dataclasses` does, and there are forty of them to import.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Value(Struct, frozen=True):
    """A frozen value."""

    _hidden: ClassVar[frozenset[str]] = frozenset()
    """The fields that may hold a session or a payload."""

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in self._hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
