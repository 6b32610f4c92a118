"""What is not played, or not to the letter, when clients of recordings meet the embedded server: each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from support.raw_client import upgrade
from support.recording import Step


@dataclass(frozen=True)
class Excluded:
    """Steps of a recording whose `field` has the `value` are not played."""

    recording: str
    field: str
    value: str
    reason: str

    def covers(self, recording: str, step: Step) -> bool:
        return recording == self.recording and getattr(step, self.field) == self.value


PARSER = "the real server tolerates it; aiohttp's frame parser refuses it, and the link ends"
EXCLUDED = (
    Excluded("03-ping-and-malformed", "conn", "x8", f"bad UTF-8 in a text frame: {PARSER}"),
    Excluded("03-ping-and-malformed", "conn", "x11", f"RSV1 without an extension: {PARSER}"),
    Excluded("03-ping-and-malformed", "conn", "x12", f"a reserved opcode: {PARSER}"),
    Excluded("04-project-errors", "note", "wrong Sec-WebSocket-Version 12", "aiohttp refuses the upgrade"),
    Excluded("08-send-before-connected", "conn", "b2", "the real server ended the stream in the middle of a frame"),
    Excluded("10-server-restart", "dir", "state", "what another client library says about itself"),
    Excluded("11-close-handshake", "conn", "c6", f"close code 1005 on the wire: {PARSER}"),
    Excluded("11-close-handshake", "conn", "c7", f"a close payload of one byte: {PARSER}"),
    Excluded(
        "14-pipelining-and-ordering",
        "conn",
        "e5",
        "the real server worked on two messages at once: the login took the project away when the subscribe had it already",
    ),
)

# How the race between the first message and the greeting went on each connection of 08: the message was answered and the greeting
# lost, or the message was read first and answered second. On the others the greeting won.
GREETINGS: dict[str, Literal["late", False]] = {
    **dict.fromkeys(("a0", "a3", "b0"), False),
    **dict.fromkeys(("a1", "a2", "a4", "b1", "b3", "b4", "c0"), "late"),
}

# Events of which only the arrival is recorded, by their first name, and the project that they belong to. The console tells its
# own by itself, from time to time; the others are too long.
UNPUBLISHED = {"test.event": "console", "e.200k": None, "e5000000": None, "e8300000": None, "e8500000": None}
UNPUBLISHED |= {"e12000000": None, "e20000000": None}
# Of the longest, the ends are recorded, and the length. What must stand between them begins like this.
LONGEST = "05e-very-large-events"
UP_TO_THE_BLOB = '"timestamp":"2026-11-23T16:00:00.000+00:00","payload":{"$id":"big","blob":"'

# The real server reads its clock several times while it deals with a presence. The times in these frames may differ.
PRESENCE = re.compile(r'"presence|"presences')
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
PRESENCE_ID = "6b04695d7a45dfb327ef"

# Who was allowed to see what the real emitter emitted in 05; the notes say it in words.
AUDIENCES = {
    "table read = user:alice only": ("user:alice",),
    "table read = users": ("users",),
    "table read = guests": ("guests",),
    "row read = user:alice, table read none (rowSecurity)": ("user:alice",),
    "account event for alice: users.alice.update.name and nested sessions event": ("user:alice",),
}
# Nobody got the last event of 05, so what it said is not recorded; this is what such an event says.
UNSEEN = "teams membership -> permissionsChanged for alice"

OF_P2 = ("session of another project (p2)", "session of project p2")  # notes: the session that is sent is none of p1's

PLAIN = ["GET /v1/realtime?project=p1 HTTP/1.1", "Host: localhost"]
NO_KEY = [line for line in upgrade("/v1/realtime?project=p1") if not line.startswith("Sec-WebSocket-Key")]
RAW_REQUESTS = {"plain HTTP GET (no upgrade)": PLAIN, "no key": NO_KEY}
