"""The base of inputs and commands: frozen values that hide their secrets from every repr.

Design: msgspec builds such a class fifty times as fast as `dataclasses` does, and an import builds forty of them. msgspec reads
the annotations for the signature, so the modules import their types at run time.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class Value(Struct, frozen=True):
    """A frozen value."""

    _hidden: ClassVar[frozenset[str]] = frozenset()
    """The fields that may hold a session or a payload."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # rich shows the locals of a traceback with this method; the method of Struct shows every field.
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self._hidden]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
