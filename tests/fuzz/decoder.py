"""Fuzz the decoder, guided by coverage: `make fuzz`. For any bytes, the decoder returns a documented frame and raises nothing.

python tests/fuzz/decoder.py CORPUS -max_total_time=60
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["realtime_fsm.protocol"]):
    from realtime_fsm.errors import MalformedEvent
    from realtime_fsm.events import Event
    from realtime_fsm.protocol import frames

KINDS = {"not_json", "too_deep", "unknown_type", "wrong_shape"}
PARTS = {"events": tuple, "channels": tuple, "timestamp": datetime, "payload": dict}
SEEDS = (
    b'{"type":"connected","data":{"channels":[],"subscriptions":{"3":"x"},"user":null}}',
    b'{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":[{"subscriptionId":"s1","channels":["rows"]}]}}',
    b'{"type":"error","data":{"code":"42S02","message":"\\ud800"}}',
    b'{"type":"pong"}',
    b'{"type":"event","data":{"events":["e"],"channels":["rows"],"timestamp":"2026-11-23T16:00:00.000+00:00",'
    b'"payload":{"$id":"r","n":1e400,"s":"\\ud83d\\udc4b"},"subscriptions":["s1"]}}',
)


def read_parts(event: Event) -> None:
    """Read every part of an event."""
    for part, kind in PARTS.items():
        with suppress(MalformedEvent):
            value = getattr(event, part)
            assert isinstance(value, kind), (part, value)
            assert getattr(event, part) is value, "the event decodes each part once"
    assert all(isinstance(identifier, str) for identifier in event.subscriptions)
    assert "payload" not in repr(event)


def decode_input(data: bytes) -> None:
    """Decode one input, plain and as the payload of an event."""
    for message in (data, b'{"type":"event","data":{"payload":%b,"subscriptions":["s1"]}}' % data):
        frame = frames.decode(message)
        if isinstance(frame, frames.EventFrame):
            read_parts(frame.data)
        elif isinstance(frame, frames.ErrorFrame):
            assert isinstance(frame.code, int | str)
            assert isinstance(frame.message, str)
        elif isinstance(frame, frames.Malformed):
            assert frame.kind in KINDS


if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (corpus / f"seed{number}").write_bytes(seed)
    atheris.Setup(sys.argv, decode_input)
    atheris.Fuzz()
