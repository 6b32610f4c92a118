"""The control request: one frame, one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from realtime_fsm.protocol import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.fsm.fault import Batch


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A control request: one frame, one answer."""

    kind: str
    ids: tuple[str, ...]
    data: bytes = field(repr=False)
    bisecting: bool = False
    batch: Batch | None = None  # what is repeated by it


def batched(
    kind: str, ids: Iterable[str], items: Iterable[bytes], *, suspect: bool = False, batch: Batch | None = None
) -> ControlRequest:
    """As many of the items as fit into one frame; at least one."""
    chosen: list[str] = []
    encoded: list[bytes] = []
    size = frames.ENVELOPE_BYTES
    for identifier, item in zip(ids, items, strict=True):
        size += len(item) + 1
        if chosen and size > frames.MAX_CLIENT_PAYLOAD:
            break
        chosen.append(identifier)
        encoded.append(item)
    return ControlRequest(kind, tuple(chosen), frames.message(kind, encoded), suspect, batch)
