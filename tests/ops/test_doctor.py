"""The doctor on real sockets: each check finds a fault that no other check finds."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime_fsm import BadOption, PingPolicy
from realtime_fsm.ops.doctor import Check, Report, Status, examine, link, observed, path
from realtime_fsm.remedies import CHECKS, finding_of
from realtime_fsm.runtime.jitter import drawing
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.eras import EraName
from realtime_fsm.testing.wire import Refusal
from support.doctoring import remedy
from support.faultproxy import DOWN, FaultProxy, HttpProxy
from support.secrets import assert_silent
from support.some import some

pytestmark = pytest.mark.loopback

DATA = Path(__file__).parents[1] / "data"
OK, WARNING, FAILED = Status.OK, Status.WARNING, Status.FAILED
ALL = ["name", "tcp", "proxy", "tls", "clock", "upgrade", "greeting", "identity", "ping", "era", "subscribe", "budget"]


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a busy machine answer slowly, name no proxy, and send the first ping at once."""
    monkeypatch.setattr(link, "_SLOW", 20.0)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with drawing(lambda: 1.0):
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a silent server for a second only."""
    for module in (observed, path, link):
        monkeypatch.setattr(module, "PATIENCE", 1.0)
    for name in ("_SUBSCRIBED_WITHIN", "_ECHO_WITHIN"):
        monkeypatch.setattr(link, name, 1.0)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[RealtimeServer, str]]:
    """A server, and the session of its user."""
    async with asyncio.timeout(30), RealtimeServer(**options) as server:
        yield server, server.add_user("alice")


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DATA / "authority.pem")


def showing(name: str = "localhost.pem") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(DATA / name)
    return context


async def report_of(endpoint: str, *channels: str, session: str | None = "none", pings: int = 1, **options: Any) -> Report:
    return await examine(endpoint, "demo", *(channels or ("rows",)), session=session, pings=pings, **options)


def findings(report: Report) -> list[tuple[str, Status]]:
    """The checks that found something. Each has a remedy, and only those."""
    assert [check for check in report.checks if bool(check.remedy) is (check.status is OK)] == []
    return [(check.name, check.status) for check in report.checks if check.status is not OK]


def only(report: Report) -> Check:
    """The one finding of a report; the report's status and cause name it."""
    assert len(findings(report)) == 1, [(each.name, each.text) for each in report.checks]
    (found,) = (check for check in report.checks if check.status is not OK)
    assert report.status is found.status
    if found.status is FAILED:
        assert report.cause == f"Most probable cause of missing events: {found.name}: {found.text}"
    return found


def when(name: str, fault: Callable[[], object]) -> Callable[[Check], None]:
    """Cause a fault directly after a check."""

    def on_check(check: Check) -> None:
        if check.name == name:
            fault()

    return on_check


# --- without a fault --------------------------------------------------------------------------------------------------


async def test_a_healthy_server_of_each_era_has_no_finding(server_era: EraName) -> None:
    seen: list[Check] = []
    async with serving(era=server_era) as (server, session):
        report = await report_of(server.endpoint, "rows", "account", session=session, on_check=seen.append)
    assert findings(report) == []
    assert (report.status, report.not_checked) == (OK, ())
    assert list(dict.fromkeys(check.name for check in report.checks)) == ALL
    assert tuple(seen) == report.checks
    era = next(check.text for check in report.checks if check.name == "era")
    assert era.startswith(f"{server_era}: Appwrite ")
    assert report.cause.startswith("No check explains missing events. --echo and --idle look further")


async def test_a_healthy_link_echoes_and_survives_idleness() -> None:
    async with serving() as (server, session):
        report = await report_of(server.endpoint, session=session, echo=True, idle=0.2)
    assert findings(report) == []
    assert [check.name for check in report.checks] == [*ALL[:-1], "echo", "idle", "budget"]
    assert report.cause.startswith("No check explains missing events. Check read permissions")
    assert report.checks[-1].text == "26 of 32 messages and 127 of 128 dials a minute are left"


async def test_pings_are_a_second_apart_and_each_is_awaited_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PATIENCE", 0.9)
    async with serving() as (server, session):
        began = asyncio.get_running_loop().time()
        report = await report_of(server.endpoint, session=session, pings=3)
        took = asyncio.get_running_loop().time() - began
    assert len(next(check.text for check in report.checks if check.name == "ping").split(", ")) == 3
    assert took >= 2.0


async def test_tls_and_a_proxy_with_a_login_have_no_finding() -> None:
    async with (
        serving() as (server, session),
        FaultProxy(server.endpoint, showing()) as entry,
        HttpProxy(login=b"bob:geheim").open() as proxy,
    ):
        endpoint = entry.endpoint.replace("127.0.0.1", "localhost")
        url = proxy.with_login("bob:geheim")
        report = await report_of(endpoint, session=session, ssl=trusting(), proxy=url)
    assert findings(report) == []
    texts = {check.name: check.text for check in report.checks}
    assert texts["tls"] == "TLSv1.3; issued by realtime_fsm tests; ends 2125-01-01"
    assert texts["proxy"] == f"dials go through {proxy.url.removeprefix('http://')}"
    assert "geheim" not in str(report) + repr(path.Path("wss://host/v1", url, trusting()))


async def test_a_proxy_that_speaks_tls_has_no_finding() -> None:
    async with (
        serving() as (server, session),
        FaultProxy(server.endpoint, showing()) as entry,
        HttpProxy(context=showing()).open() as proxy,
    ):
        endpoint, url = (each.replace("127.0.0.1", "localhost") for each in (entry.endpoint, proxy.url))
        report = await report_of(endpoint, session=session, ssl=trusting(), proxy=url)
    assert findings(report) == []


# --- the way ----------------------------------------------------------------------------------------------------------


async def test_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    report = await report_of("https://nowhere.example/v1")
    found = only(report)
    assert (found.name, found.status) == ("name", FAILED)
    assert found.text == "nowhere.example does not resolve: Name or service not known"
    assert report.not_checked == tuple(ALL[1:])


@pytest.mark.usefixtures("impatient")
async def test_name_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait())
    found = only(await report_of("https://nowhere.example/v1"))
    answer.set()
    assert (found.name, found.text) == ("name", "nowhere.example does not resolve: no answer within 1 s")


async def test_tcp() -> None:
    report = await report_of("http://127.0.0.1:1/v1", echo=True, idle=1)
    found = only(report)
    assert (found.name, found.status) == ("tcp", FAILED)
    assert found.text == "port 1 cannot be reached: 127.0.0.1: Connection refused"
    assert report.not_checked == (*ALL[2:-1], "echo", "idle", "budget")


async def test_tcp_of_a_proxy_that_is_away() -> None:
    found = only(await report_of("https://host.example/v1", proxy="http://127.0.0.1:1"))
    assert (found.name, found.status, found.remedy) == ("tcp", FAILED, remedy("proxy_away"))
    assert found.text == "port 1 of the proxy cannot be reached: 127.0.0.1: Connection refused"


async def test_name_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    found = only(await report_of("https://host.example/v1", proxy="http://proxy.example:1"))
    assert (found.name, found.remedy) == ("name", remedy("proxy_away"))
    assert found.text == "the proxy proxy.example does not resolve: Name or service not known"


async def test_tcp_with_one_address_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def both(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        return [each for address in ("127.0.0.1", "127.0.0.2") for each in real(address, port, *rest, **more)]

    async with serving() as (server, session):
        monkeypatch.setattr(socket, "getaddrinfo", both)
        found = only(await report_of(server.endpoint.replace("127.0.0.1", "two.example"), session=session))
    assert (found.name, found.status) == ("tcp", WARNING)
    assert found.text.endswith("127.0.0.1 accepts; 127.0.0.2: Connection refused")


@pytest.mark.parametrize(
    ("answer", "text"),
    [(None, "answers with HTTP 407"), (b"SSH-2.0-OpenSSH\r\n\r\n", "gives no answer of HTTP"), (b"", "gives no answer of HTTP")],
)
async def test_proxy(answer: bytes | None, text: str) -> None:
    async with HttpProxy(answer, login=b"bob:geheim").open() as proxy:
        found = only(await report_of("https://host.example/v1", proxy=proxy.url))
    assert (found.name, found.status) == ("proxy", FAILED)
    assert found.text.endswith(text)


@pytest.mark.usefixtures("impatient")
async def test_proxy_that_is_silent() -> None:
    async with serving() as (server, _), FaultProxy(server.endpoint) as silent:
        silent.mute = True
        found = only(await report_of("https://host.example/v1", proxy=f"http://127.0.0.1:{silent.port}"))
    assert (found.name, found.text) == ("proxy", "no answer within 1 s")


async def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://bob:geheim@127.0.0.1:1")
    report = await report_of("https://host.example/v1", trust_env=True)
    assert (only(report).name, only(report).remedy) == ("proxy", remedy("proxy_url"))
    assert "geheim" not in str(report)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found = only(await report_of("https://host.example/v1", trust_env=True))
    assert found.text.startswith("port 1 of the proxy cannot be reached")


@pytest.mark.parametrize(
    ("certificate", "host", "text", "key"),
    [
        ("self-signed.pem", "localhost", "self-signed certificate", "tls_untrusted"),
        ("expired.pem", "localhost", "certificate has expired", "tls_expired"),
        ("wrong-host.pem", "localhost", "Hostname mismatch", "tls_host"),
        ("localhost.pem", "127.0.0.2", "IP address mismatch", "tls_host"),
    ],
)
async def test_tls(certificate: str, host: str, text: str, key: str) -> None:
    async with serving() as (server, _), FaultProxy(server.endpoint, showing(certificate)) as entry:
        await moved(entry, host)
        found = only(await report_of(f"https://{host}:{entry.port}/v1", ssl=trusting()))
    assert (found.name, found.status, found.remedy) == ("tls", FAILED, remedy(key))
    assert text in found.text


async def moved(entry: FaultProxy, host: str) -> None:
    """Listen on another loopback address, too."""
    if host[0].isdigit():
        entry.refuse()
        entry._server = await asyncio.start_server(entry._serve, host, entry.port, ssl=entry._context)


async def test_tls_on_a_port_for_plain_http() -> None:
    async with serving() as (server, _):
        found = only(await report_of(server.endpoint.replace("http:", "https:")))
    assert (found.name, found.status, found.text) == ("tls", FAILED, "the handshake fails: wrong version number")


async def test_tls_certificate_that_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "_SOON", 200 * 366 * 86_400.0)  # the certificate of the tests ends in 2125
    async with serving() as (server, session), FaultProxy(server.endpoint, showing()) as entry:
        endpoint = entry.endpoint.replace("127.0.0.1", "localhost")
        report = await report_of(endpoint, session=session, ssl=trusting())
    assert (only(report).name, only(report).status) == ("tls", WARNING)
    assert report.cause.startswith("No check explains missing events.")


@pytest.mark.filterwarnings("ignore:self_signed=True")
async def test_tls_that_is_not_verified_has_no_finding() -> None:
    async with serving() as (server, session), FaultProxy(server.endpoint, showing("self-signed.pem")) as entry:
        assert findings(await report_of(entry.endpoint, session=session, self_signed=True)) == []


async def test_no_tls_beyond_this_machine() -> None:
    async with serving() as (server, session), HttpProxy().open() as proxy:
        found = only(await report_of(server.endpoint, session=session, proxy=proxy.url))
    assert (found.name, found.status, found.remedy) == ("tls", WARNING, remedy("tls_plain"))


@asynccontextmanager
async def dated(moment: datetime, context: ssl.SSLContext | None = None, target: str = "") -> AsyncIterator[int]:
    """Answer each HEAD with a date, and forward other requests; gives the port."""
    head = f"HTTP/1.1 404 Not Found\r\nDate: {format_datetime(moment, usegmt=True)}\r\n\r\n".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if request.startswith(b"HEAD") or not target:
                writer.write(head)
                return
            upstream, server = await asyncio.open_connection("127.0.0.1", int(target.rsplit(":", 1)[1].removesuffix("/v1")))
            server.write(request)
            async with asyncio.TaskGroup() as group:
                group.create_task(pipe(reader, server))
                group.create_task(pipe(upstream, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # a connection ended, which the test has looked at from the other side
        finally:
            writer.close()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("ahead", "text"), [(2, "behind the server"), (-2, "ahead of the server")])
async def test_clock(ahead: int, text: str) -> None:
    moment = datetime.now(UTC) + timedelta(hours=ahead)
    async with serving() as (server, session), dated(moment, target=server.endpoint) as port:
        found = only(await report_of(f"http://127.0.0.1:{port}/v1", session=session))
    assert (found.name, found.status) == ("clock", WARNING)
    assert found.text.startswith(("this machine is 2 h", "this machine is 1 h 59 min"))
    assert found.text.endswith(text)


@pytest.mark.parametrize("date", ["Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 99 Jan 2026 00:00:00 GMT", "yesterday"])
async def test_clock_of_a_server_with_a_senseless_date(date: str) -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(status=404, headers={"Date": date})

    async with other_server(handler) as endpoint:
        report = await report_of(endpoint)
    assert only(report).name == "upgrade"
    assert [check.text for check in report.checks if check.name == "clock"] == ["unknown; the server names no date"]


async def test_an_expired_certificate_of_a_server_with_another_clock() -> None:
    async with dated(datetime(2020, 6, 1, tzinfo=UTC), showing("expired.pem")) as port:
        found = only(await report_of(f"https://localhost:{port}/v1", ssl=trusting()))
    assert (found.name, found.status, found.remedy) == ("tls", FAILED, remedy("tls_clock"))
    assert found.text.startswith("certificate has expired; this machine is ")


# --- the beginning of a link ------------------------------------------------------------------------------------------


@asynccontextmanager
async def other_server(handler: Any) -> AsyncIterator[str]:
    """An HTTP server other than Appwrite; gives its endpoint."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "says"),
    [(200, "passes `Upgrade`"), (404, "without `/realtime`"), (426, "passes `Upgrade`"), (502, "Wait: "), (503, "Wait: ")],
)
async def test_upgrade_by_a_server_without_websocket(status: int, says: str) -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status)

    async with other_server(handler) as endpoint:
        found = only(await report_of(endpoint))
    assert (found.name, found.status) == ("upgrade", FAILED)
    assert found.text == f"HTTP {status} instead of an upgrade to WebSocket"
    assert says in found.remedy


async def test_upgrade_that_is_redirected() -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(status=301, headers={"Location": "https://host.example/v1/realtime"})

    async with other_server(handler) as endpoint:
        found = only(await report_of(endpoint))
    assert (found.name, found.remedy) == ("upgrade", "Give the target of the redirect as the endpoint.")


async def test_upgrade_by_plain_http_on_a_port_for_tls() -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1", 0, ssl=showing()) as server:
        found = only(await report_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    assert (found.name, found.status, found.remedy) == ("upgrade", FAILED, remedy("dial"))


@pytest.mark.parametrize(("status", "says"), [(b"407 Login", "login into its URL"), (b"200 OK", "each proxy")])
async def test_upgrade_by_a_proxy_that_passes_none(status: bytes, says: str) -> None:
    async with HttpProxy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n").open() as proxy:
        report = await report_of("http://host.example/v1", proxy=proxy.url)
    assert findings(report) == [("tls", WARNING), ("upgrade", FAILED)]
    assert says in report.checks[-1].remedy


@pytest.mark.usefixtures("impatient")
async def test_upgrade_by_a_frozen_server() -> None:
    async with serving() as (server, session):
        server.freeze()
        found = only(await report_of(server.endpoint, session=session))
    assert (found.name, found.status) == ("upgrade", FAILED)
    assert "no upgrade within 1 seconds" in found.text


@pytest.mark.usefixtures("impatient")
async def test_greeting() -> None:
    async with serving() as (server, session):
        server.greet = False
        found = only(await report_of(server.endpoint, session=session))
    assert (found.name, found.status) == ("greeting", FAILED)
    assert "no greeting within 1 seconds" in found.text


@pytest.mark.usefixtures("impatient")
async def test_greeting_in_another_protocol() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response()
        socket_ = web.WebSocketResponse()
        await socket_.prepare(request)
        await socket_.send_str("hello")
        await socket_.receive()
        return socket_

    async with other_server(handler) as endpoint:
        found = only(await report_of(endpoint))
    assert (found.name, found.status, found.remedy) == ("greeting", FAILED, remedy("protocol"))
    assert found.text.endswith("; the server sent 1 message of another protocol")


async def test_greeting_of_another_project() -> None:
    async with serving(projects=["other"]) as (server, session):
        found = only(await report_of(server.endpoint, session=session))
    assert (found.name, found.status, found.text) == ("greeting", FAILED, "error 1008: Missing or unknown project ID")


async def test_identity_of_an_ended_session() -> None:
    async with serving() as (server, session):
        server.end_session("alice")
        found = only(await report_of(server.endpoint, session=session))
    assert (found.name, found.status) == ("identity", FAILED)
    assert found.text == "the server greets a guest: it does not know the session or JWT"


async def test_identity_of_an_expired_token() -> None:
    async with serving() as (server, _):
        found = only(await report_of(server.endpoint, session=None, jwt=server.issue_jwt("alice", expired=True)))
    assert (found.name, found.status, found.remedy) == ("identity", FAILED, remedy("refused"))


async def test_identity_that_is_not_available() -> None:
    async def fails() -> str:
        raise OSError("geheim")

    async with serving() as (server, _):
        found = only(await report_of(server.endpoint, session=None, jwt=fails))
    assert (found.name, found.status) == ("identity", FAILED)
    assert "OSError" in found.text
    assert "geheim" not in found.text


@pytest.mark.parametrize(
    ("options", "key"), [({}, "guest"), ({"cookies": {"a_session_demo": "worthless"}}, "guest_despite")], ids=["none", "cookie"]
)
async def test_identity_of_a_guest(options: dict[str, Any], key: str) -> None:
    async with serving() as (server, _):
        report = await report_of(server.endpoint, session=None, **options)
    assert (only(report).name, only(report).status, only(report).remedy) == ("identity", WARNING, remedy(key))
    assert report.cause == f"Most probable cause of missing events: identity: {only(report).text}"


# --- pings, era and subscriptions -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_ping() -> None:
    async with serving() as (server, session):
        found = only(await report_of(server.endpoint, session=session, pings=2, on_check=when("identity", server.freeze)))
    assert (found.name, found.status, found.text) == ("ping", FAILED, "ping 1: no pong within 1 seconds")


@pytest.mark.usefixtures("impatient")
async def test_ping_of_a_server_that_sends_frames_and_no_pong() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response()
        socket_ = web.WebSocketResponse()
        await socket_.prepare(request)
        await socket_.send_str('{"type":"connected","data":{"channels":[],"subscriptions":{},"user":{"$id":"alice"}}}')
        with suppress(ConnectionError):
            while not socket_.closed:
                await socket_.send_str('{"type":"news","data":{}}')
                await asyncio.sleep(0.1)
        return socket_

    async with other_server(handler) as endpoint:
        began = asyncio.get_running_loop().time()
        found = only(await report_of(endpoint))
        took = asyncio.get_running_loop().time() - began
    assert (found.name, found.status, found.text) == ("ping", FAILED, "ping 1: no answer")
    assert took < 10  # a second for the ping, and one for its answer; a dead link would get a second try


@pytest.mark.parametrize("delay", [0.15, 0.6], ids=["quick", "patient"])
async def test_ping_that_is_slow(delay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_SLOW", 0.2)
    async with serving() as (server, session), FaultProxy(server.endpoint) as box:
        slow = when("identity", lambda: setattr(box, "delay", delay))
        found = only(await report_of(box.endpoint, session=session, on_check=slow))
    assert (found.name, found.status) == ("ping", WARNING)
    assert found.text.startswith("slow: ")


@pytest.mark.parametrize("delay", [0.0, 1.5], ids=["quick", "patient"])
async def test_ping_during_a_server_fault(delay: float) -> None:
    async with serving() as (server, session):
        server._core.backend.fault_delay = delay
        found = only(await report_of(server.endpoint, session=session, on_check=when("identity", lambda: server.fault(30))))
    assert (found.name, found.status, found.remedy) == ("ping", FAILED, remedy("fault"))
    assert found.text.startswith("the server answers with error 0: ")


@pytest.mark.parametrize("channel", ["rows.create", "presences"])
@pytest.mark.filterwarnings("ignore::realtime_fsm.ChannelWarning")
async def test_era(channel: str) -> None:
    async with serving(era="E2") as (server, session):
        report = await report_of(server.endpoint, "rows", channel, session=session)
    assert (only(report).name, only(report).status) == ("era", WARNING)
    assert report.cause.endswith(f"era: E2: Appwrite 1.6.1 to 1.8, which publishes nothing on {channel}")


@pytest.mark.filterwarnings("ignore::realtime_fsm.ChannelWarning")
@pytest.mark.parametrize(
    ("channel", "text", "key"),
    [
        ("row", "no known server publishes on channel 'row'; the nearest known channel is 'rows'", "channel"),
        ("account.bob", "account.bob: the server did not acknowledge it", "channel_missing"),
    ],
)
async def test_subscribe_to_a_channel_without_events(channel: str, text: str, key: str) -> None:
    async with serving() as (server, session):
        report = await report_of(server.endpoint, "rows", channel, session=session)
    assert (only(report).name, only(report).text, only(report).remedy) == ("subscribe", text, remedy(key))
    assert report.cause.endswith(text)


async def test_subscribe_as_a_guest_to_a_channel_of_users() -> None:
    async with serving() as (server, _):
        report = await report_of(server.endpoint, "account", session=None)
    assert findings(report) == [("identity", WARNING), ("subscribe", WARNING)]
    assert report.cause == "Most probable cause of missing events: subscribe: account: a guest receives no event there"


async def test_subscribe_as_a_guest_where_guests_may_not() -> None:
    async with serving(deny_guests=True) as (server, _):
        report = await report_of(server.endpoint, session=None)
    assert findings(report) == [("identity", WARNING), ("subscribe", FAILED)]
    assert report.checks[-2].remedy == remedy("subscribe_as_guest")
    assert "subscribe: rows: error 401: " in report.cause


@pytest.mark.parametrize(("code", "text"), [(1003, "files: error 1003: no"), (1008, "files: ")])
async def test_subscribe_that_is_refused_for_one_channel(code: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    accepts = ServerConnection._subscribe

    def refuses(connection: ServerConnection, data: Any) -> list[object]:
        if "files" in str(data):
            raise Refusal(code, "no", end=code == 1008)
        return accepts(connection, data)

    monkeypatch.setattr(ServerConnection, "_subscribe", refuses)
    async with serving(masked=False) as (server, session):
        report = await report_of(server.endpoint, "rows", "files", "account", session=session, idle=0.1)
    assert (only(report).name, only(report).status) == ("subscribe", FAILED)
    assert only(report).text.startswith(text)
    assert only(report).remedy == remedy("subscribe_refused")
    assert [check.text.partition(":")[0] for check in report.checks if check.name == "subscribe"] == ["rows", "files", "account"]


@pytest.mark.usefixtures("impatient")
async def test_subscribe_without_a_reply() -> None:
    async with serving() as (server, session):
        found = only(await report_of(server.endpoint, session=session, on_check=when("era", server.freeze)))
    assert (found.name, found.status) == ("subscribe", FAILED)
    assert "no reply within 1 s" in found.text


async def test_subscribe_on_a_link_that_ends_with_its_server() -> None:
    async with serving() as (server, session):

        def end() -> None:
            server.refuse_dials()
            server.drop()

        report = await report_of(server.endpoint, "rows", "files", session=session, on_check=when("era", end))
    lost, refused = [check for check in report.checks if check.name == "subscribe"]
    assert lost.text == "rows: the stream ended (close code 1006)"
    assert "look for a proxy that ends idle connections" in lost.remedy
    assert refused.text.endswith("HTTP 503 instead of an upgrade to WebSocket")
    assert refused.remedy.startswith("Wait: ")


@pytest.mark.usefixtures("impatient")
async def test_a_silent_server_is_asked_for_one_channel_of_several() -> None:
    async with serving() as (server, session):
        channels = ("rows", "files", "account", "teams")
        report = await report_of(server.endpoint, *channels, session=session, on_check=when("era", server.freeze))
    assert only(report).text == "rows: no reply within 1 s; not checked: files, account, teams"


async def test_subscribe_during_a_server_fault() -> None:
    async with serving() as (server, session):
        found = only(await report_of(server.endpoint, session=session, on_check=when("era", lambda: server.fault(30))))
    assert (found.name, found.status, found.remedy) == ("subscribe", FAILED, remedy("fault"))
    assert "error 0" in found.text


# --- options and budget -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_echo() -> None:
    async with serving() as (server, session):
        server.deafen()
        found = only(await report_of(server.endpoint, session=session, echo=True))
    assert (found.name, found.status, found.text) == ("echo", FAILED, "no event within 1 s")


@pytest.mark.parametrize("era", ["E4", "E3"])
async def test_echo_where_it_is_not_possible(era: EraName) -> None:
    async with serving(era=era) as (server, session):
        report = await report_of(server.endpoint, session=None if era == "E4" else session, echo=True)
    (found,) = (check for check in report.checks if check.name == "echo")
    assert (found.status, found.text.partition(":")[0]) == (WARNING, "not possible")
    assert "echo:" not in report.cause  # it explains nothing


async def test_echo_on_a_link_that_cannot_be_replaced() -> None:
    async with serving() as (server, session):

        def ends() -> None:
            server.refuse_dials()
            server.drop()

        found = only(await report_of(server.endpoint, session=session, echo=True, on_check=when("subscribe", ends)))
    assert (found.name, found.status) == ("echo", FAILED)
    assert "no event within" not in found.text


class IdleBox(FaultProxy):
    """Cuts each link that carries nothing for a while."""

    async def _forward(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        timer = None
        while data := await reader.read(65_536):
            writer.write(data)
            if direction is DOWN:
                if timer is not None:
                    timer.cancel()
                timer = asyncio.get_running_loop().call_later(1.3, writer.close)
        raise ConnectionResetError("one side has ended")


async def test_idle_cut_with_a_notice() -> None:
    async with serving() as (server, session), IdleBox(server.endpoint) as box:
        found = only(await report_of(box.endpoint, session=session, idle=5.0))
    assert (found.name, found.status) == ("idle", FAILED)
    assert re.fullmatch(r"the link ended after [\d.]+ m?s without traffic", found.text)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("interval", "status"), [(30.0, FAILED), (0.1, WARNING)])
async def test_idle_cut_in_silence(interval: float, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PingPolicy", lambda: PingPolicy(interval, 0.1))
    async with serving() as (server, session), FaultProxy(server.endpoint) as box:
        report = await report_of(box.endpoint, session=session, idle=0.2, on_check=when("subscribe", box.freeze))
    found = only(report)
    assert (found.name, found.status) == ("idle", status)
    assert found.text == "the link was dead after 200 ms without traffic: no answer to a ping"
    assert report.cause.endswith(found.text)


async def test_idle_after_a_link_that_cannot_be_replaced() -> None:
    async with serving() as (server, session):

        def ends() -> None:
            server.refuse_dials()
            server.drop()

        found = only(await report_of(server.endpoint, session=session, idle=0.5, on_check=when("subscribe", ends)))
    assert (found.name, found.status) == ("idle", FAILED)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("limit", "pings"), [(1, 2), (2, 2)])
async def test_budget_of_messages(limit: int, pings: int) -> None:
    async with serving(rate_limit=limit, clock=lambda: 30.0) as (server, session):
        found = only(await report_of(server.endpoint, session=session, pings=pings))
    assert (found.name, found.status, found.remedy) == ("budget", FAILED, remedy("budget"))
    assert f"refuses message {limit + 1} of this link" in found.text


@pytest.mark.usefixtures("impatient")
async def test_budget_of_messages_that_the_echo_exceeds() -> None:
    async with serving(rate_limit=2, clock=lambda: 30.0) as (server, session):
        found = only(await report_of(server.endpoint, session=session, echo=True))
    assert (found.name, found.status, found.remedy) == ("budget", FAILED, remedy("budget"))


async def test_budget_of_dials() -> None:
    async with serving(connection_limit=0) as (server, session):
        found = only(await report_of(server.endpoint, session=session))
    assert (found.name, found.status, found.remedy) == ("budget", FAILED, remedy("dials"))


# --- arguments and remedies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"endpoint": "ftp://host"}, "endpoint"),
        ({"project": ""}, "project"),
        ({"channels": ["console.tail.demo"]}, "channels"),
        ({"channels": [f"rows.{number}" for number in range(13)]}, "channels"),
        ({"pings": 0}, "pings"),
        ({"pings": 13}, "pings"),
        ({"pings": True}, "pings"),
        ({"pings": 1.5}, "pings"),
        ({"idle": 0}, "idle"),
        ({"session": "geheim\n"}, "session"),
        ({"proxy": "socks5://host:1"}, "proxy"),
    ],
)
async def test_an_argument_that_cannot_be_used(arguments: dict[str, Any], option: str) -> None:
    given = {"endpoint": "http://127.0.0.1:1/v1", "project": "demo", "channels": ["rows"]} | arguments
    with pytest.raises(BadOption) as caught:
        await examine(given.pop("endpoint"), given.pop("project"), *given.pop("channels"), **given)
    assert caught.value.option == option
    assert_silent(caught.value)


async def test_too_many_channels_are_refused_with_the_limit() -> None:
    channels = [f"rows.{number}" for number in range(13)]
    with pytest.raises(BadOption) as caught:
        await examine("http://127.0.0.1:1/v1", "demo", *channels)
    assert str(caught.value) == "channels: 13 channels are too many for one examination; give at most 12 at a time"


def test_each_remedy_is_used() -> None:
    sources = "".join(each.read_text(encoding="utf-8") for each in some(Path(path.__file__).parent.glob("*.py")))
    sources += inspect.getsource(finding_of)
    assert [key for key in CHECKS if f'"{key}"' not in sources] == []
