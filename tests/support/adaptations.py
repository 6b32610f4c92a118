"""The steps that are not played to the embedded server, or not to the letter, each with its reason."""

from __future__ import annotations

import re
from typing import Literal

from support.raw_client import upgrade
from support.recording import Excluded

PARSER = "the real server tolerates it; aiohttp's frame parser refuses it, and the link ends"
EXCLUDED = (
    Excluded("03-ping-and-malformed", f"bad UTF-8 in a text frame: {PARSER}", {"conn": "x8"}),
    Excluded("03-ping-and-malformed", f"RSV1 without an extension: {PARSER}", {"conn": "x11"}),
    Excluded("03-ping-and-malformed", f"a reserved opcode: {PARSER}", {"conn": "x12"}),
    Excluded("04-project-errors", "aiohttp refuses the upgrade", {"note": "wrong Sec-WebSocket-Version 12"}),
    Excluded("08-send-before-connected", "the real server ended the stream in the middle of a frame", {"conn": "b2"}),
    Excluded("10-server-restart", "the state of another client library", {"dir": "state"}),
    Excluded("11-close-handshake", f"close code 1005 on the wire: {PARSER}", {"conn": "c6"}),
    Excluded("11-close-handshake", f"a close payload of one byte: {PARSER}", {"conn": "c7"}),
    Excluded(
        "14-pipelining-and-ordering",
        "the real server worked on two messages at once: the login made it forget the project after the subscribe had found it",
        {"conn": "e5"},
    ),
)

# The race between the first message and the greeting on each connection of 08. False: the server answered the message, and lost
# the greeting. "late": the server read the message first, and answered it second. On the others the greeting came first.
GREETINGS: dict[str, Literal["late", False]] = {
    **dict.fromkeys(("a0", "a3", "b0"), False),
    **dict.fromkeys(("a1", "a2", "a4", "b1", "b3", "b4", "c0"), "late"),
}

# Events whose arrival alone is recorded, by their first name, each with its project. The console sends its own from time to time;
# the others are too long.
UNPUBLISHED = {"test.event": "console", "e.200k": None, "e5000000": None, "e8300000": None, "e8500000": None}
UNPUBLISHED |= {"e12000000": None, "e20000000": None}
# The recording of the longest event has the beginning, the end and the length. The text between them begins like this.
LONGEST = "05e-very-large-events"
UP_TO_THE_BLOB = '"timestamp":"2026-11-23T16:00:00.000+00:00","payload":{"$id":"big","blob":"'

# The real server reads its clock several times while it stores a presence. The times in these frames may differ.
PRESENCE = re.compile(r'"presence|"presences')
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
PRESENCE_ID = "6b04695d7a45dfb327ef"

# The roles that may see the events of 05, by the notes of the recording.
AUDIENCES = {
    "table read = user:alice only": ("user:alice",),
    "table read = users": ("users",),
    "table read = guests": ("guests",),
    "row read = user:alice, table read none (rowSecurity)": ("user:alice",),
    "account event for alice: users.alice.update.name and nested sessions event": ("user:alice",),
}
# No client got the last event of 05, so its content is not recorded; this is the note before it.
UNSEEN = "teams membership -> permissionsChanged for alice"

OF_P2 = ("session of another project (p2)", "session of project p2")  # notes: the session that the client sends is not of p1

PLAIN = ["GET /v1/realtime?project=p1 HTTP/1.1", "Host: localhost"]
NO_KEY = [line for line in upgrade("/v1/realtime?project=p1") if not line.startswith("Sec-WebSocket-Key")]
RAW_REQUESTS = {"plain HTTP GET (no upgrade)": PLAIN, "no key": NO_KEY}
