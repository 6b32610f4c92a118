"""The remedy for each error and for each overdue answer, as the pages and ``realtime-fsm explain`` show it.

Invariant: each public error has an entry; a test finds one without.
"""

from __future__ import annotations

from realtime_fsm.errors import (
    CertificateRefused,
    GreetedAsGuest,
    IdentityUnavailable,
    RefusedByServer,
    ServerError,
    StreamEnded,
    SubscriptionRejected,
    UpgradeRefused,
)
from realtime_fsm.protocol.faults import is_server_fault, is_throttle

REMEDIES = {
    "RealtimeError": "Catch this class where one handler serves every error of the library.",
    "Misuse": "Change the calling code: no retry and no server can help.",
    "BadOption": "Read the text: it names the option, the problem and a value that works.",
    "Disposed": "Build a new ``Realtime``. A disposed one never dials again.",
    "SubscriptionEnded": "Call ``subscribe()`` again.",
    "ConcurrentIteration": "Give each consumer its own subscription, or spread the events of one consumer over a queue.",
    "WrongLoop": "Build one ``Realtime`` for each event loop, inside that loop.",
    "Forked": "Build the ``Realtime`` in the child process, after the fork.",
    "BadTable": "Fix each fault that ``faults`` names. The table of the library itself never raises it.",
    "LinkFailure": "Nothing, as long as the client dials again. Read it as the ``cause`` of the error that you caught.",
    "DialFailed": "Check the scheme, host and port of the endpoint, that the server runs, and the firewalls and proxies between.",
    "NameNotResolved": "Check the host's name in the endpoint, or that of the proxy, and the resolver of this machine.",
    "UpgradeRefused": "Read ``status``. For a redirect, give its target as the endpoint. For 404, check the path ``/v1``. For 429"
    " and 503, wait: the client obeys ``retry_after``. A proxy must pass ``Upgrade`` and ``Connection``.",
    "CertificateRefused": "Renew the server's certificate, or pass its authority in ``ssl=``. For a test server alone, use"
    " ``self_signed=True``.",
    "IdentityUnavailable": "Fix the callable that you passed as ``session=`` or ``jwt=``. The next attempt calls it again.",
    "TokenUnavailable": "Follow the text: it names the user and the remedy, such as a missing scope. The next attempt"
    " asks again.",
    "GreetedAsGuest": "Give a fresh session or JWT, best by a callable. Then call ``reconnect()``.",
    "Overdue": "Check the network and the load of the server. For a slow network, raise the member of ``Timeouts``.",
    "StreamEnded": "Nothing: the client dials again. Where it happens often, look for a proxy that ends idle connections.",
    "FrameTooLarge": "Raise ``max_frame=``, or make the payloads smaller.",
    "ServerError": "Read ``code``. For 1008 check the project and the identity; for 1013 wait for the next minute.",
    "RefusedByServer": "Read ``code``: check the project's id, the identity and the platforms of the project. Then call"
    " ``reconnect()``.",
    "RetriesExhausted": "Read ``cause``, and remove it. Then call ``reconnect()``, or raise the limit that ``option`` names.",
    "LinkLost": "Call ``reconnect()``, or use ``auto_reconnect=True``.",
    "LinkPaused": "Consume events in another task during the call, or raise ``buffer=``, or choose another ``overflow=``.",
    "Disconnected": "Call again after ``connect()``, where another part of the program asked for the disconnect.",
    "AuthenticationRejected": "Give a valid session. The link and the old identity are still in use.",
    "PresenceRejected": "Log in first, because a guest has no presence. With ``permissions=``, include your own update.",
    "UnsupportedByServer": "Upgrade the server to the release that has the feature, or do without it.",
    "SubscriptionRejected": "Read ``code`` and ``guest``: log in, fix the query, or drop the channel. Other subscriptions stay.",
    "ConsumerTooSlow": "Iterate again. Then consume faster, or raise ``buffer=``, or choose another ``overflow=``.",
    "MalformedEvent": "Use the other parts of the event. Report the event's ``part`` to the server's operator.",
    "PayloadMisfit": "Fix the type at ``path``, or pass ``on_misfit=`` to skip such events. ``event`` holds the payload.",
    "DrawingFailed": "Do as ``remedy`` says: install Graphviz, or choose the format ``svg``.",
}
"""The remedy by the name of the error. Double backquotes mark code."""

OVERDUE = {
    "upgrade": "Check that the server, or the proxy before it, is up and not overloaded. ``Timeouts.dial`` sets the patience.",
    "greeting": "Check the server: the WebSocket opened, and no greeting came. A frozen or overloaded server does that, and a"
    " proxy that holds frames back.",
    "reply": "Check the load of the server: the link was up, and a request got no reply within ``Timeouts.reply``.",
    "pong": "Check the network and the middle boxes: nothing came after a ping, so the link was dead. For a slow network, raise"
    " ``PingPolicy.timeout``.",
    "echo": "Check the event bus of the server: the link answered, and its events were lost. The canary found that out.",
}
"""The remedy for an `Overdue`, by the answer that did not come."""

_BUSY = "Wait: the server, or a proxy before it, is down or overloaded, or counts too many requests. A client dials again."
UPGRADES = {
    404: "Check the path of the endpoint: with Appwrite it is ``/v1`` in most cases, without ``/realtime``.",
    407: "Put the proxy's login into its URL: http://user:password@host:port.",
    429: _BUSY,
    502: _BUSY,
    503: _BUSY,
    504: _BUSY,
}
"""The remedy for an `UpgradeRefused`, by its HTTP status."""
_MOVED = "Give the target of the redirect as the endpoint."
_NO_UPGRADE = "Check that the endpoint is that of Appwrite, and that each proxy passes ``Upgrade`` and ``Connection``."

CHECKS = {
    "tcp": "Check the host and port of the endpoint, that the server runs, and the firewalls on the way.",
    "tcp_some": "Repair these paths, or remove these addresses from the name. Until then some dials take longer.",
    "proxy_url": "Give HTTPS_PROXY, HTTP_PROXY or ALL_PROXY an http:// or https:// URL. NO_PROXY names hosts to dial directly.",
    "proxy_away": "Check the URL in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, and that the proxy runs. NO_PROXY names hosts to dial"
    " directly.",
    "proxy_refuses": "Allow this host in the proxy, or put the proxy's login into its URL, or name the host in NO_PROXY.",
    "tls_handshake": "Check that this port speaks TLS, and not plain HTTP. Some middle boxes cut handshakes.",
    "tls_clock": "Set the clock of this machine. The certificate may be valid.",
    "tls_expired": "Renew the certificate of the server, and reload the server.",
    "tls_expires": "Renew the certificate soon. No client connects after its end.",
    "tls_host": "Use a host name that the certificate holds, or give the server a certificate for this name.",
    "tls_untrusted": "Let the server send its whole chain. For a private authority, name its file in SSL_CERT_FILE.",
    "tls_refused": "Renew the certificate of the server. For a private authority, name its file in SSL_CERT_FILE.",
    "tls_plain": "Use https://. Over http:// every machine on the way can read the session.",
    "clock": "Synchronize the clock of this machine or of the server: else tokens count as expired, and times of gaps are wrong.",
    "dial": "Check the scheme and port of the endpoint: a port that speaks TLS needs https://, and another server may own it.",
    "protocol": "Check that the endpoint is that of Appwrite: this server speaks another protocol over WebSocket.",
    "ended": "Check the log of the server, and the proxies on the way: the link ended after its WebSocket had opened.",
    "project": "Check the project's id, and that the project is on this server.",
    "refused": "Give a session or JWT that is valid now. Give one of the two alone.",
    "guest_despite": "Give a fresh session or JWT: the server no longer knows this one, or the session is of another project.",
    "guest": "Give a session or JWT. As a guest you receive only what the role ``any`` or ``guests`` may read.",
    "slow": "Look for load on the server and on the way. Below 1 s is usual.",
    "fault": "Check the server's Redis and database: the server answers, and cannot do its work.",
    "era": "Leave the action out, or upgrade the server to Appwrite 1.9.5 or later.",
    "channel": "Correct the channel: a server accepts any text as a channel, and stays silent on it.",
    "channel_of_users": "Give a session or JWT: this channel has no events for a guest.",
    "subscribe_as_guest": "Give a session or JWT: this project lets no guest subscribe.",
    "subscribe_refused": "Check the channel, and whether this user may use it. A program that drops it keeps its other channels.",
    "channel_missing": "Subscribe to a channel of your own user: the server left this one out without an error.",
    "echo_impossible": "Test by hand instead: run ``realtime-fsm listen``, and change a row meanwhile.",
    "idle": "Choose ``PingPolicy(interval=)`` below this time, or raise the limit of the box (nginx: ``proxy_read_timeout``).",
    "budget": "Wait for the next minute. Then ping less often, and subscribe to several channels in one call.",
    "dials": "Wait for the next minute, and dial less often. Behind a proxy, pass ``X-Forwarded-For``: it counts dials apart.",
}
"""The remedy by the finding of ``realtime-fsm doctor``, where it is no error."""

FINDINGS = REMEDIES | OVERDUE | CHECKS
"""The remedy by the key of a finding of a command."""


def finding_of(error: Exception) -> str | Exception:
    """Return the key in `FINDINGS` for an error that ends a command; the error itself where `remedy_of` serves."""
    match error:
        case CertificateRefused():
            return "tls_refused"
        case GreetedAsGuest():
            return "guest_despite"
        case RefusedByServer(code=401 | 403) | IdentityUnavailable():
            return "refused"
        case RefusedByServer():
            return "project"
        case ServerError(code=code) if is_throttle(code):
            return "dials"
        case SubscriptionRejected(guest=True, code=401 | 403):
            return "subscribe_as_guest"
        case ServerError(code=code) | SubscriptionRejected(code=code) if is_server_fault(code):
            return "fault"
        case SubscriptionRejected():
            return "subscribe_refused"
        case StreamEnded():
            return "ended"
    return error


def remedy_of(error: str | Exception) -> str:
    """Return the remedy for an error or a finding, as text for a terminal; empty for an error that is not of this library."""
    if isinstance(error, str):
        return FINDINGS[error].replace("``", "`")
    names = (kind.__name__ for kind in type(error).__mro__)
    found = OVERDUE.get(getattr(error, "awaited", "")) or next((REMEDIES[name] for name in names if name in REMEDIES), "")
    if isinstance(error, UpgradeRefused):
        found = _MOVED if error.location else UPGRADES.get(error.status, _NO_UPGRADE)
    return found.replace("``", "`")
