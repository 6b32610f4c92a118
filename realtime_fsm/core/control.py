"""The control request: one frame, one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from realtime_fsm.vocabulary import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.core.fault import Batch


@dataclass(frozen=True, slots=True)
class Control:
    """A control request: one frame, one answer."""

    kind: str
    ids: tuple[str, ...]
    data: bytes = field(repr=False)
    suspect: bool = False
    batch: Batch | None = None  # what is repeated by it


def batched(
    kind: str, ids: Iterable[str], items: Iterable[bytes], *, suspect: bool = False, batch: Batch | None = None
) -> Control:
    """As many of the items as fit into one frame; at least one."""
    chosen: list[str] = []
    encoded: list[bytes] = []
    size = frames.ENVELOPE
    for identifier, item in zip(ids, items, strict=True):
        size += len(item) + 1
        if chosen and size > frames.PAYLOAD_LIMIT:
            break
        chosen.append(identifier)
        encoded.append(item)
    return Control(kind, tuple(chosen), frames.message(kind, encoded), suspect, batch)
