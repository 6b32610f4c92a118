"""The client against recordings of links whose channels travelled in the URL: all of the older eras, and some of today.

A client that knows nothing asks for the era first, and is refused as recorded. Then its URL must mean the same as the
recorded one, and what the real server sent on that link is sent to it: the greeting, events, errors, the end.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime_fsm import BadOption, MissingChannelWarning, Realtime, State, Subscription
from realtime_fsm.testing.eras import ERAS
from realtime_fsm.testing.url import Parameters, Slot, parameters, slots, texts
from realtime_fsm.testing.wire import as_php
from support.recorded_client import era_of
from support.recorded_link import LinkReplay, Records
from support.recorded_server import RecordedServer, SkippingLoop, check_delivery, run, soon
from support.recording import RECORDINGS, Excluded, RecordedLink, RecordedStep, links, load

pytestmark = pytest.mark.filterwarnings("ignore::realtime_fsm.ChannelWarning")  # some of what was recorded cannot be meant

LINKS = [link for path in sorted(RECORDINGS.glob("*.jsonl")) for link in links(path.stem) if link.channels_in_url]
OLD = ("e1", "e2", "e3")

NEVER, ONE_WAY = "our client never sends it", "our client asks by the URL, or by messages"
DIALS = "our client changes who it is by a new dial"
ODD = (
    "ping with data", "unknown type", "bad JSON", "subscribe (newest", "unsubscribe (newest", "presence (newest", "empty JSON",
    "JSON []", "only data", "type null", "empty text", "authentication ", "ws ping frame", "binary frame",
)  # fmt: skip
ODDITIES = [position + more for position in (65, 76, 87, 98, 109, 120, 131, 142) for more in (0, 1)]  # sent, and answered
WAYS, ASKS, TELLS = ("send", "recv"), '{"type": "authentication"', '{"type":"response","data":{"to":"authentication"'
LOGINS = (
    "e2-05-authentication",
    "e3-05-authentication",
    "e2-10-auth-loses-slots",
    "e3-10-auth-loses-slots",
    "e3-07-queries-slots",
)
CONNECTS, PROJECTS = [f"{era}-01-connect-without-channels" for era in OLD], ("e1-04-project-errors", "e2-04-project-errors")
EXCLUDED = (
    *(
        Excluded(f"{era}-03-messages", NEVER, {"conn": "messages", "note": note, "dir": way})
        for era in OLD
        for note in ODD
        for way in WAYS
    ),
    *(Excluded(f"{era}-03-messages", NEVER, {"index": str(index)}) for era in OLD for index in ODDITIES),
    *(
        Excluded(f"{era}-03-messages", f"more than fits into a frame: {NEVER}", {"note": "oversize", "dir": "send"})
        for era in OLD
    ),
    *(Excluded(name, DIALS, {"data": data}) for name in LOGINS for data in (ASKS, TELLS)),
    *(Excluded(name, DIALS, {"conn": "invalid auth", "data": '{"type":"error"'}) for name in LOGINS[:2]),
    Excluded(
        "e2-05-authentication", f"a guest's link would not get it: {DIALS}", {"data": '{"type":"event","data":{"events":["u2b'}
    ),
    Excluded("02-url-mode", ONE_WAY, {"conn": "h", "dir": "send"}),
    Excluded("02-url-mode", ONE_WAY, {"conn": "h", "data": '{"type":"response"'}),
    Excluded("10-server-restart", "what another client library says about itself", {"dir": "state"}),
)
# Links that are not dialed.
NO_LIST, BY_HEADER = f"channels that are not a list: {NEVER}", "our client names the project in the URL"
UNDIALED = (
    *(Excluded(name, NO_LIST, {"note": "channels="}) for name in CONNECTS),
    *(Excluded(name, "our client adds an empty channel, which is accepted", {"note": "only account"}) for name in CONNECTS),
    *(Excluded(name, BY_HEADER, {"note": "X-Appwrite-Project"}) for name in PROJECTS),
    Excluded("02-url-mode", NO_LIST, {"note": "channels=files"}),
    Excluded("02-url-mode", BY_HEADER, {"note": "x-appwrite-project"}),
)
REFUSED = "our client refuses it when it is built, or at the call"
UNBUILT = tuple(Excluded(name, REFUSED, {"note": note}) for name in PROJECTS for note in ("missing project", "empty project"))
REFUSED_AT_CALL = (
    *(
        Excluded("e3-07-queries-slots", REFUSED, {"note": note})
        for note in ("bad query", "unsupported", "select title", "empty slot")
    ),
    *(Excluded("02-url-mode", REFUSED, {"note": note}) for note in ("bad query", "unsupported")),
)
# Recordings that the test plays with adapted requests.
NO_QUERIES = {"request": "('GET /v1/realtime?project=p1&channels[]=files&channels[]=rows&rows[1]"}
ADAPTED = (
    *(Excluded(name, "our client adds /realtime to the endpoint's path", {"request": "('GET /anything"}) for name in PROJECTS),
    *(
        Excluded(f"{era}-06-close", "our client closes with 1000; the echo is as recorded", {"by": "client", "code": "4001"})
        for era in OLD
    ),
    Excluded("e2-10-auth-loses-slots", "this era heeds no queries, so our client asks for none", NO_QUERIES),
)


def such(link: RecordedLink, entries: tuple[Excluded, ...]) -> bool:
    return any(entry.covers(link.recording, link.steps[0]) for entry in entries)


PLAYED = [link for link in LINKS if not such(link, UNDIALED + UNBUILT + REFUSED_AT_CALL)]
REFUSALS = {era: load(f"{era}-01-connect-without-channels")[3].data for era in OLD}
"""How a dial without channels is refused. Today's servers are met by clients that know them from the time of E3."""
EMPTY = {era: load(f"{era}-01-connect-without-channels")[18].data for era in OLD}
"""How one with an empty channel is greeted."""


class Address:
    """The channels and queries of a URL."""

    def __init__(self, target: str, *, ids: bool) -> None:
        self.parameters: Parameters = parameters(urlsplit(target).query)
        self.channels = list(dict.fromkeys(texts(self.parameters.get("channels", {}))))
        self.slots: dict[str, Slot] = dict(slots(self.parameters, self.channels)) if ids else {"0": Slot(self.channels)}

    @property
    def meaning(self) -> tuple[object, ...]:
        """The same for two addresses that differ in spelling and in the numbers of slots only."""
        return self.parameters.get("project"), self.channels, sorted(map(repr, self.slots.values()))

    def filters(self, slot: str) -> list[str]:
        """The queries of a slot; none where it is everything."""
        return [query.text() for query in self.slots[slot].queries if query.method != "select"]

    def items(self) -> list[tuple[str, dict[str, Any]]]:
        """Subscriptions that ask for it, each with its slot; of plain ones, one for all channels and one for each."""
        found = []
        for name, slot in self.slots.items():
            queries = self.filters(name)
            each = [] if queries or len(slot.channels) == 1 else [[channel] for channel in slot.channels]
            found += [(name, {"channels": channels, "queries": queries}) for channels in (slot.channels, *each)]
        return [item for item in found if item[1]["channels"] not in ([], [""])]


class UrlLinkReplay(LinkReplay):
    """One link whose URL asks for the channels."""

    def __init__(self, link: RecordedLink, server: RecordedServer, clock: SkippingLoop, records: Records) -> None:
        self.era = link.recording[:2] if link.recording[:2] in OLD else ""
        self.ids = ERAS[era_of(link.recording)].ids
        self.recorded = Address(link.target, ids=self.ids)
        self.parts: list[tuple[str, Subscription]] = []
        self.greeting = ""
        self.headers = dict(link.headers)
        refused = link.codes[:1] and link.steps[2].code_of_error is not None and bool(self.recorded.channels)
        told: Any = (era_of(link.recording) if self.era else "E3") if refused else None
        self.asks = told is None
        given = dict(self.headers)
        session, jwt = given.pop("X-Appwrite-Session", None), given.pop("X-Appwrite-JWT", None)
        super().__init__(link, server, clock, records, told, headers=given, session=session, jwt=jwt)

    @property
    def all_subscriptions(self) -> list[Subscription]:
        return [part for _, part in self.parts]

    async def dial(self) -> None:
        items = [item for _, item in self.recorded.items()][: None if self.asks else 1]
        if items:
            self.subscribe(items)
        else:
            self.call(self.realtime.connect())
        await self.next_change(dest=State.RECONNECTING)
        if self.asks and self.recorded.channels:
            await self.accept()
            self.server_link.upgrade()
            self.server_link.send(REFUSALS[self.era or "e3"])
            await self.server_link.finish()
        await self.accept()
        assert self.meaning() == self.recorded.meaning

    async def accept(self) -> None:
        self.server_link = await self.server.accept()
        assert self.headers.items() <= self.server_link.headers.items()

    def meaning(self) -> tuple[object, ...]:
        return Address(self.server_link.target, ids=self.ids).meaning

    async def accept_reconnect(self) -> None:
        await self.accept()
        assert self.meaning() == self.recorded.meaning, "everything is asked for again"
        self.server_link.upgrade()
        self.server_link.send(self.greeting)
        channels = list(dict.fromkeys(channel for part in self.all_subscriptions for channel in part.channels))
        moment = "2026-11-23T16:00:00.000+00:00"
        data: dict[str, Any] = {"events": ["e"], "channels": channels, "timestamp": moment, "payload": {"$id": "again"}}
        if self.ids:
            data["subscriptions"] = list(self.slot_of)
        self.server_link.send_json({"type": "event", "data": data})
        self.outputs += await check_delivery(data, self.all_subscriptions)

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def on_send(self, step: RecordedStep) -> None:
        assert step.frame == {"type": "ping"}
        await self.ping()

    async def on_eof(self, step: RecordedStep) -> None:
        if self.recorded.channels or self.greeted:
            await super().on_eof(step)
            return
        await self.server_link.finish()  # so the URL must name the channels
        await self.accept()
        assert Address(self.server_link.target, ids=self.ids).channels == [""]
        self.server_link.upgrade()
        self.server_link.send(EMPTY[self.era])
        await soon(asyncio.gather(*self.calls))
        assert self.realtime.state is State.CONNECTED

    # --- the frames -----------------------------------------------------------------------------------------------------

    async def send_connected(self, text: str, data: dict[str, Any]) -> None:
        self.greeting = self.in_our_slots(text, data)
        self.server_link.send(self.greeting)
        self.greeted = True
        parts = await soon(asyncio.gather(*self.calls))
        self.parts = [(slot, part) for (slot, _), part in zip(self.recorded.items(), parts, strict=False)]
        await self.next_change(dest=State.SUBSCRIBED if self.parts else State.CONNECTED)
        assert self.realtime.era == ("E3" if self.ids else "E2")
        assert self.realtime.user == data["user"]
        expected = [tuple(c for c in data["channels"] if self.own(c) in part.channels) for _, part in self.parts]
        assert [part.acknowledged_channels for _, part in self.parts] == expected

    def in_our_slots(self, text: str, data: dict[str, Any]) -> str:
        """The ids of the greeting, by the numbers that our client has given to the slots."""
        if not self.ids:
            return text
        theirs = data["subscriptions"]
        named = dict(enumerate(theirs)) if isinstance(theirs, list) else theirs
        self.slot_of = {identifier: str(slot) for slot, identifier in named.items()}
        by_meaning = {repr(self.recorded.slots[slot]): identifier for identifier, slot in self.slot_of.items()}
        ours = Address(self.server_link.target, ids=True).slots
        return text.replace(dump(theirs), dump(as_php({slot: by_meaning[repr(asked)] for slot, asked in ours.items()})))

    async def send_event(self, text: str, data: dict[str, Any]) -> None:
        touched = (
            {slot for identifier, slot in self.slot_of.items() if identifier in data["subscriptions"]} if self.ids else {"0"}
        )
        audience = [
            part
            for slot, part in self.parts
            if slot in touched and (part.queries or set(part.channels) & {self.own(channel) for channel in data["channels"]})
        ]
        assert audience
        self.server_link.send(text)
        self.outputs += await check_delivery(data, audience)

    def own(self, channel: str) -> str:
        """The user's account is plain `account`, where the server has said so."""
        user = self.realtime.user
        mine = "" if user is None else f"account.{user['$id']}"
        return channel.replace(mine, "account") if mine and f"{channel}.".startswith(f"{mine}.") else channel

    async def send_error(self, text: str, data: dict[str, Any]) -> None:
        self.last_error = data
        self.server_link.send(text)
        if self.greeted:
            assert data["code"] == 1003
            assert (await self.next_change(source=State.PING)).dest.is_live
            assert self.realtime.era == "E1"
        elif self.recorded.channels:
            self.outputs += await soon(asyncio.gather(*self.calls, return_exceptions=True))
            self.check_refusal(self.last_error)
        assert data["message"] not in str(self.records), "a text of the server's is kept out of the log"


def dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def warned(link: RecordedLink) -> AbstractContextManager[object]:
    """Whether the server leaves out a channel that is asked for."""
    greetings = [step.frame["data"]["channels"] for step in link.steps if step.frame.get("type") == "connected"]
    asked = Address(link.target, ids=False).channels if greetings else []
    missing = [channel for channel in asked if not any(other.endswith(channel.removeprefix("account")) for other in greetings[0])]
    return pytest.warns(MissingChannelWarning, match="|".join(missing)) if missing else nullcontext()


@pytest.mark.parametrize("link", PLAYED, ids=lambda link: f"{link.recording[:5]}-{link.name}")
def test_it_understands_what_is_recorded(link: RecordedLink, records: Records) -> None:
    async def main(clock: SkippingLoop) -> None:
        async with RecordedServer() as server:
            replay = UrlLinkReplay(link, server, clock, records)
            await replay.play(link.played("", EXCLUDED))
            await replay.finish()

    with warned(link):
        run(main)


@pytest.mark.parametrize("link", [link for link in LINKS if such(link, UNBUILT)], ids=lambda link: link.title)
def test_a_dial_to_the_servers_own_project_is_refused_before_it_is_made(link: RecordedLink) -> None:
    with pytest.raises(BadOption) as caught:
        Realtime("http://127.0.0.1/v1", next(iter(link.query.get("project", [""]))))
    assert caught.value.option == "project"


@pytest.mark.parametrize("link", [link for link in LINKS if such(link, REFUSED_AT_CALL)], ids=lambda link: link.name)
def test_queries_that_the_server_refuses_are_refused_at_the_call(link: RecordedLink) -> None:
    async def main(_: SkippingLoop) -> None:
        asked: Any = parameters(urlsplit(link.target).query)["rows"]
        async with Realtime("http://127.0.0.1:9/v1", "p1") as realtime:
            with pytest.raises(BadOption) as caught:
                await realtime.subscribe("rows", queries=texts(asked["0"]))
            assert (caught.value.option, realtime.state) == ("queries", State.DISCONNECTED)

    run(main)


def test_every_step_of_every_link_is_played_or_excluded() -> None:
    assert len(LINKS) > 120
    for link in PLAYED:
        played = link.played("", EXCLUDED)
        assert all(step in played or any(entry.covers(link.recording, step) for entry in EXCLUDED) for step in link.steps)


@pytest.mark.parametrize(
    "entry", EXCLUDED + UNDIALED + UNBUILT + REFUSED_AT_CALL + ADAPTED, ids=lambda entry: f"{entry.recording}-{entry.where}"
)
def test_what_is_excluded_or_adapted_is_in_the_recordings(entry: Excluded) -> None:
    assert any(entry.covers(entry.recording, step) for step in load(entry.recording))
