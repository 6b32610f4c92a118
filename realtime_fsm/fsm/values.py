"""The base of inputs and commands: frozen values, whose secrets no repr shows.

Design: msgspec makes such a class fifty times as fast as `dataclasses` does, and there are forty of them to import. It reads the
annotations for the signature, so their types are imported at run time.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Value(Struct, frozen=True):
    """A frozen value."""

    _hidden: ClassVar[frozenset[str]] = frozenset()
    """The fields that may hold a session or a payload."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # rich shows the locals of a traceback with this method; that of Struct tells every field.
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self._hidden]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
