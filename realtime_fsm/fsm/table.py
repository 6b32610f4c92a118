"""The table: the whole behaviour of a connection, as data.

Invariant: a rule of this table, and nothing else, changes the state of a connection. The machine runs the table, the diagrams
draw it, the audit log names its rules, and the tests walk through it. So all four always agree.

Design: A user, a socket or the clock causes an input. First the notes of the input's trigger keep its facts, in every state.
Then the machine asks the guards of each rule for (state, trigger), in order. The first rule whose guards all hold applies: the
machine runs its effects, and `dest` becomes the state. A rule without a `dest` is internal: the state stays.

Each cell (state, trigger) has rules, or is ignored on purpose; `_IGNORED` gives the reason.

The id of a rule is the short name of its state and a number. The same number in several states is the same rule. Ids are
stable: a new rule takes a new number, and no rule takes the number of a deleted one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.fsm.names import Effect as Do
from realtime_fsm.fsm.names import Guard as If
from realtime_fsm.fsm.names import Note
from realtime_fsm.fsm.tablespec import Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable


class State(StrEnum):
    """The public states of a connection; there is no other."""

    DISCONNECTED = "disconnected"
    RECONNECTING = "reconnecting"
    CONNECTED = "connected"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PING = "ping"
    ERROR = "error"
    DISPOSING = "disposing"

    @property
    def is_live(self) -> bool:
        """Whether the link is up; it is in `ping`, too, so that no heartbeat looks like a lost link."""
        return self in LIVE


class Trigger(StrEnum):
    """Everything that can happen to a connection."""

    # the user
    CONNECT = "connect"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    RECONNECT = "reconnect"
    DISCONNECT = "disconnect"
    DISPOSE = "dispose"
    AUTHENTICATE = "authenticate"
    LOG_OUT = "log_out"
    PRESENCE = "presence"
    PING_SWITCHED = "ping_switched"
    # the socket
    OPENED = "opened"
    GREETED = "greeted"
    ACKNOWLEDGED = "acknowledged"
    PONG = "pong"
    SERVER_ERROR = "server_error"
    RECOVERED = "recovered"
    LOST = "lost"
    DIAL_FAILED = "dial_failed"
    CLOSED = "closed"
    DEAF = "deaf"
    # the clock
    DEADLINE = "deadline"
    CANARY = "canary"
    WOKEN = "woken"


D, R, C, S, U, P, E, X = State
LIVE = frozenset({C, S, U, P})
"""The states in which the link is up."""

_SHORT = {D: "dis", R: "rec", C: "con", S: "sub", U: "uns", P: "pin", E: "err", X: "end"}


_Rules: TypeAlias = tuple[Row[State, Trigger], ...]


def _rule(
    number: int,
    sources: Iterable[State],
    trigger: Trigger,
    dest: State | None,
    why: str,
    *,
    when: tuple[If, ...] = (),
    do: tuple[Do, ...] = (),
) -> _Rules:
    return tuple(Row(f"{_SHORT[source]}{number}", source, trigger, dest, when, do, why) for source in sources)


def _link_loss_rules(number: int, sources: tuple[State, ...], trigger: Trigger, when: tuple[If, ...], what: str) -> _Rules:
    """Build the three rules for a link that is gone, numbered from `number`."""
    return (
        *_rule(number, sources, trigger, D, f"{what}, and auto_reconnect is off: waiting calls and iterators raise `LinkLost`.",
               when=(*when, If.RECONNECT_OFF), do=(Do.ABORT_LINK, Do.NOTIFY_LINK_LOST)),
        *_rule(number + 1, sources, trigger, R, f"{what}: the connection dials again after the delay of the retry policy.",
               when=(*when, If.MAY_RETRY), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY)),
        *_rule(number + 2, sources, trigger, E, f"{what}, and the retry policy allows no further dial.",
               when=when, do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    )  # fmt: skip


def _ping_over_rules(number: int, trigger: Trigger, when: tuple[If, ...], do: tuple[Do, ...], what: str) -> _Rules:
    """Build the three rules that leave `ping`, to the state of the subscriptions; numbered from `number`."""
    return (
        *_rule(number, (P,), trigger, S, f"{what}; everything desired is acknowledged.",
               when=(*when, If.ALL_ACKNOWLEDGED), do=do),
        *_rule(number + 1, (P,), trigger, U, f"{what}; no subscription is left.", when=(*when, If.NO_SUBSCRIPTIONS), do=do),
        *_rule(number + 2, (P,), trigger, C, f"{what}; nothing is desired, or not all of it is acknowledged.",
               when=when, do=do),
    )  # fmt: skip


def _resume_rules(number: int, sources: tuple[State, ...], trigger: Trigger, when: tuple[If, ...], what: str) -> _Rules:
    """Build the rules that return to the old link when a handover fails for good, numbered from `number`.

    A live state has no rule for an old link without subscriptions: a new link that is up has taken the place of such a link.
    """
    return tuple(
        rule
        for source in sources
        for offset, dest, guards, how in (
            (0, S, (If.OLD_LINK_COMPLETE,), "serves everything desired"),
            (1, U, (If.OLD_LINK_EMPTY,), "has no subscription"),
            (2, C, (), "does not serve everything desired"),
        )
        if source is R or dest is not U
        for rule in _rule(
            number + offset, (source,), trigger, None if dest is source else dest,
            f"{what}, and no dial may follow: the connection returns to the old link, which {how}.",
            when=(*when, If.CAN_RESUME, *guards), do=(Do.ABORT_LINK, Do.RESUME_LINK, Do.SEND_REQUEST),
        )
    )  # fmt: skip


def _trial_over_rule(number: int, trigger: Trigger, what: str) -> _Rules:
    return _rule(number, (R,), trigger, None,
                 f"{what}, so the new identity fails: the connection dials with the old one at once.",
                 when=(If.TRIAL_FAILED,), do=(Do.ABORT_LINK, Do.RESTORE_IDENTITY, Do.RESET_ATTEMPTS, Do.DIAL))  # fmt: skip


_T = Trigger
_DOWN = (D, E)
_UP = (C, S, U, P)
_UP_EXCEPT_PING = (C, S, U)
_FIRST_DIAL = (Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)
_DIAL_AS_GUEST = (Do.CLOSE_LINK, Do.CLOSE_FIRST, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)
_SLEPT = "The process slept"
_NO_GREETING = "No upgrade or greeting came in time"
_REJECTED_IDENTITY = "The server rejects the new identity"
_NO_REPLY = "A request got no answer in time"
_UNEXPLAINED = "The server reports an unexplained fault"
_SILENT = "No frame came after the ping"

_ROWS = (
    # --- the user -----------------------------------------------------------------------------------------------------
    *_rule(1, _DOWN, _T.CONNECT, R, "The user wants a link: the connection dials at once, with a full count of attempts.",
           do=_FIRST_DIAL),
    *_rule(2, _DOWN, _T.SUBSCRIBE, R, "The subscription needs a link: the connection dials at once, as for connect().",
           do=_FIRST_DIAL),
    *_rule(3, (R,), _T.SUBSCRIBE, None, "The connection asks for the subscription after the greeting."),
    *_rule(4, (C, S), _T.SUBSCRIBE, None, "The connection asks for the subscription as soon as no other request is in flight.",
           do=(Do.SEND_REQUEST,)),
    *_rule(5, (U,), _T.SUBSCRIBE, C, "A subscription is desired again, and not acknowledged yet.", do=(Do.SEND_REQUEST,)),
    *_rule(6, (C,), _T.UNSUBSCRIBE, S, "The user removed the last subscription that was not acknowledged.",
           when=(If.ALL_ACKNOWLEDGED,), do=(Do.SEND_REQUEST,)),
    *_rule(7, (C, S), _T.UNSUBSCRIBE, U, "The user removed the last subscription; the link stays up.",
           when=(If.NO_SUBSCRIPTIONS,), do=(Do.SEND_REQUEST,)),
    *_rule(8, (C, S), _T.UNSUBSCRIBE, None, "Other subscriptions remain.", do=(Do.SEND_REQUEST,)),
    *_rule(9, (D, R, E), _T.UNSUBSCRIBE, None, "No link is up that must hear of this: the subscription is gone at once."),
    *_rule(10, _DOWN, _T.RECONNECT, R, "The user wants a link now: the connection dials at once, with a full count of attempts.",
           do=_FIRST_DIAL),
    *_rule(11, (R,), _T.RECONNECT, None, "The connection gives up the current attempt and dials at once; the count goes on.",
           do=(Do.ABORT_LINK, Do.FIND_ERA, Do.DIAL)),
    *_rule(12, _UP, _T.RECONNECT, R, "The user wants a new link: the connection dials at once, and this link delivers meanwhile.",
           do=(Do.DRAIN_LINK, Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(13, (R, *_UP, E), _T.DISCONNECT, D, "The user wants no link; the connection keeps the subscriptions for the next one.",
           do=(Do.CLOSE_LINK, Do.NOTIFY_DISCONNECTED)),
    *_rule(14, (D, R, *_UP, E), _T.DISPOSE, X, "The user is done: the connection closes the socket and ends every stream.",
           do=(Do.CLOSE_LINK, Do.END_STREAMS)),
    *_rule(90, _DOWN, _T.AUTHENTICATE, R, "The connection dials with the new identity.", do=_FIRST_DIAL),
    *_rule(91, (R,), _T.AUTHENTICATE, None, "The connection gives up the current attempt and dials with the new identity.",
           do=(Do.ABORT_LINK, *_FIRST_DIAL)),
    *_rule(92, (S,), _T.AUTHENTICATE, None, "A subscription is acknowledged, no request is in flight: a message is safe here.",
           when=(If.CAN_AUTHENTICATE_IN_BAND,), do=(Do.SEND_AUTHENTICATION,)),
    *_rule(93, _UP, _T.AUTHENTICATE, R,
           "A message could make the server forget the project: the connection dials anew, and this link delivers meanwhile.",
           do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(152, _DOWN, _T.LOG_OUT, R, "The connection dials as a guest.", do=_FIRST_DIAL),
    *_rule(152, (R,), _T.LOG_OUT, None,
           "The connection gives up the current attempt, and dials as a guest once its socket is closed.", do=_DIAL_AS_GUEST),
    *_rule(152, _UP, _T.LOG_OUT, R, "The connection closes the link, and dials as a guest once it is closed.", do=_DIAL_AS_GUEST),
    *_rule(98, _DOWN, _T.PRESENCE, R, "The presence needs a link: the connection dials at once, as for connect().",
           when=(If.PRESENCE_WANTED,), do=_FIRST_DIAL),
    *_rule(99, _DOWN, _T.PRESENCE, None, "No link is up that must hear of this: the next link shows no presence."),
    *_rule(100, (R,), _T.PRESENCE, None, "The connection sends the wanted presence after the greeting."),
    *_rule(150, _UP, _T.PRESENCE, R,
           "The server ignores a second presence id on a link: the connection closes the link, then dials another.",
           when=(If.PRESENCE_NEEDS_LINK,), do=(Do.CLOSE_LINK, Do.CLOSE_FIRST, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(151, (P,), _T.PRESENCE, None, "The connection sends the wanted presence after the answer to the ping."),
    *_rule(101, _UP_EXCEPT_PING, _T.PRESENCE, None,
           "The connection sends the wanted presence as soon as no other request is in flight.", do=(Do.SEND_REQUEST,)),
    *_rule(15, (D, R, E), _T.PING_SWITCHED, None, "The next link uses the new setting."),
    *_rule(16, _UP_EXCEPT_PING, _T.PING_SWITCHED, None,
           "The connection plans the next ping anew, or plans none if pings are off.", do=(Do.SCHEDULE_PING,)),
    *_rule(17, (P,), _T.PING_SWITCHED, None, "Pings are on: the connection still waits for the answer.", when=(If.PING_ENABLED,)),
    *_ping_over_rules(18, _T.PING_SWITCHED, (), (Do.CLEAR_PING, Do.SCHEDULE_PING, Do.SEND_REQUEST),
                      "Pings are off, so the connection waits for no answer"),
    # --- the socket, on the way up ------------------------------------------------------------------------------------
    *_rule(21, (R,), _T.OPENED, None, "The upgrade is done; the connection may send nothing before the greeting.",
           do=(Do.AWAIT_GREETING,)),
    *_rule(153, (R,), _T.CLOSED, None, "The last link that the dial waited for is closed: the connection dials.",
           when=(If.ALL_CLOSED,), do=(Do.DIAL,)),
    *_rule(154, (R,), _T.CLOSED, None, "An old link is closed; the dial waits for another one."),
    *_resume_rules(173, (R,), _T.GREETED, (), _REJECTED_IDENTITY),
    *_trial_over_rule(155, _T.GREETED, _REJECTED_IDENTITY),
    *_rule(35, (R,), _T.GREETED, E, "The server greets a guest where the connection expects a user.",
           when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    *_rule(170, (R,), _T.GREETED, C,
           "The server greets another user: the connection closes the old link and drops its late events.",
           when=(If.USER_CHANGED,), do=(Do.CLOSE_DRAINING, Do.START_LIVE_LINK, Do.SEND_REQUEST)),
    *_rule(22, (R,), _T.GREETED, C, "The link is up: the connection asks for everything desired.",
           do=(Do.START_LIVE_LINK, Do.SEND_REQUEST)),
    *_rule(94, (R,), _T.SERVER_ERROR, None, "The server refuses a URL without channels, as older servers do: the next has them.",
           when=(If.SERVER_NEEDS_URL_CHANNELS,), do=(Do.ABORT_LINK, Do.USE_URL_SUBSCRIPTIONS, Do.DIAL)),
    *_rule(97, (R,), _T.SERVER_ERROR, None, "The server refuses the new subscriptions in the URL: the next URL omits them.",
           when=(If.NEW_SUBSCRIPTIONS_REJECTED,), do=(Do.ABORT_LINK, Do.DIAL)),
    *_rule(130, (R,), _T.SERVER_ERROR, None, "The server refuses the credentials (401, 403): the callable may give new ones.",
           when=(If.CREDENTIALS_RENEWABLE,), do=(Do.ABORT_LINK, Do.RENEW_CREDENTIALS, Do.DIAL)),
    *(
        rule
        for number, trial, resume, trigger, what in (
            (23, 156, 176, _T.DIAL_FAILED, "The dial failed"),
            (26, 157, 179, _T.SERVER_ERROR, "An error came instead of the greeting"),
            (29, 158, 182, _T.LOST, "The stream ended before the greeting"),
        )
        for rule in (
            *_resume_rules(resume, (R,), trigger, (), what),
            *_trial_over_rule(trial, trigger, what),
            *_rule(number, (R,), trigger, E, f"{what}, for a reason that another attempt would meet again.",
                   when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
            *_rule(number + 1, (R,), trigger, None, f"{what}: the connection dials again after the delay of the retry policy.",
                   when=(If.MAY_RETRY,), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY)),
            *_rule(number + 2, (R,), trigger, E, f"{what}, and the retry policy allows no further dial.",
                   do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
        )
    ),
    *_rule(32, (R,), _T.DEADLINE, None, "The delay is over: the connection dials.", when=(If.ATTEMPT_DUE,), do=(Do.DIAL,)),
    *_resume_rules(185, (R,), _T.DEADLINE, (), _NO_GREETING),
    *_trial_over_rule(159, _T.DEADLINE, _NO_GREETING),
    *_rule(33, (R,), _T.DEADLINE, None, f"{_NO_GREETING}: the connection dials again after the delay of the retry policy.",
           when=(If.MAY_RETRY,), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY)),
    *_rule(34, (R,), _T.DEADLINE, E, f"{_NO_GREETING}, and the retry policy allows no further dial.",
           do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    # --- the socket, live ---------------------------------------------------------------------------------------------
    *_rule(40, (C,), _T.ACKNOWLEDGED, S, "Everything desired is acknowledged on this link.",
           when=(If.ALL_ACKNOWLEDGED,), do=(Do.SEND_REQUEST,)),
    *_rule(41, _UP_EXCEPT_PING, _T.ACKNOWLEDGED, None, "The server answered a request: the connection may send the next one.",
           do=(Do.SEND_REQUEST,)),
    *_ping_over_rules(42, _T.PONG, (), (Do.CLEAR_PING, Do.SEND_REQUEST), "The server answered the ping"),
    *_rule(45, _UP_EXCEPT_PING, _T.SERVER_ERROR, None,
           "Too many messages came (1013, 429): the connection sends the dropped one again in the next window.",
           when=(If.RATE_LIMITED,), do=(Do.SEND_REQUEST,)),
    *_rule(46, (C,), _T.SERVER_ERROR, S, "The server refuses the request in flight; everything else is acknowledged.",
           when=(If.ERROR_ANSWERS_REQUEST, If.ALL_ACKNOWLEDGED), do=(Do.SEND_REQUEST,)),
    *_rule(47, (C, S), _T.SERVER_ERROR, U, "The server refuses the request in flight; nothing else is desired.",
           when=(If.ERROR_ANSWERS_REQUEST, If.NO_SUBSCRIPTIONS), do=(Do.SEND_REQUEST,)),
    *_rule(110, _UP_EXCEPT_PING, _T.SERVER_ERROR, None,
           "The server cannot do its work: the connection repeats the request later.",
           when=(If.ERROR_ANSWERS_REQUEST, If.SERVER_AT_FAULT)),
    *_rule(48, _UP_EXCEPT_PING, _T.SERVER_ERROR, None, "The server refuses the request in flight, and the link stays up.",
           when=(If.ERROR_ANSWERS_REQUEST,), do=(Do.SEND_REQUEST,)),
    *_ping_over_rules(49, _T.SERVER_ERROR, (If.ERROR_ANSWERS_PING,), (Do.CLEAR_PING, Do.SEND_REQUEST),
                      "The server refuses the ping, so the server is alive"),
    *_rule(52, _UP, _T.SERVER_ERROR, None, "The error announces the end of the link: the connection waits for that end.",
           when=(If.ERROR_PRECEDES_CLOSE,)),
    *_ping_over_rules(111, _T.SERVER_ERROR, (), (Do.CLEAR_PING, Do.SEND_REQUEST),
                      "An error answers the ping, so the server is alive but at fault"),
    *_resume_rules(188, (C,), _T.SERVER_ERROR, (), _UNEXPLAINED),
    *_link_loss_rules(53, _UP_EXCEPT_PING, _T.SERVER_ERROR, (), _UNEXPLAINED),
    *_rule(114, _UP, _T.RECOVERED, None, "An event came during a server fault: the server works again."),
    *_resume_rules(191, (C, P), _T.LOST, (), "The new link ended"),
    *_rule(56, (C, P), _T.LOST, E, "The server refuses the link for good: it never acknowledged everything desired on this link.",
           when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    *_link_loss_rules(57, _UP, _T.LOST, (), "The link ended"),
    *_link_loss_rules(162, _UP, _T.DEAF, (), "The event of a canary did not come in time, though the server answers"),
    *_rule(171, _UP_EXCEPT_PING, _T.CLOSED, None,
           "The old link is closed, and the server has deleted its presence: the connection sends the wanted presence again.",
           do=(Do.SEND_REQUEST,)),
    *_rule(172, (P,), _T.CLOSED, None,
           "The old link is closed: after the answer to the ping, the connection sends a presence of that link again."),
    # --- the clock, live ----------------------------------------------------------------------------------------------
    *_resume_rules(194, (C,), _T.DEADLINE, (If.REPLY_OVERDUE,), _NO_REPLY),
    *_link_loss_rules(60, _UP_EXCEPT_PING, _T.DEADLINE, (If.REPLY_OVERDUE,), _NO_REPLY),
    *_rule(63, (U,), _T.DEADLINE, D, "No subscription came for as long as the connection keeps an idle link.",
           when=(If.IDLE_DUE,), do=(Do.CLOSE_LINK,)),
    *_rule(73, _UP_EXCEPT_PING, _T.DEADLINE, R,
           "The link has reached its greatest age: the connection dials a new one while this one delivers.",
           when=(If.RENEWAL_DUE,), do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(96, (C, S), _T.DEADLINE, R, "Another URL can ask for all channels: the connection dials it, and this link delivers.",
           when=(If.HANDOVER_DUE,), do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(64, _UP_EXCEPT_PING, _T.DEADLINE, P, "The next ping is due.", when=(If.PING_DUE,), do=(Do.SEND_PING,)),
    *_rule(65, _UP_EXCEPT_PING, _T.DEADLINE, None, "The link is stable: the connection forgives earlier failures.",
           when=(If.STABLE_DUE,), do=(Do.RESET_BACKOFF,)),
    *_rule(115, _UP_EXCEPT_PING, _T.DEADLINE, None,
           "The connection repeats a request that met a server fault or a refusal (1008).",
           when=(If.REPETITION_DUE,), do=(Do.SEND_REQUEST,)),
    *_rule(66, _UP_EXCEPT_PING, _T.DEADLINE, None, "The send budget has room again for the request that waits.",
           do=(Do.SEND_REQUEST,)),
    *_ping_over_rules(67, _T.DEADLINE, (If.HEARD_SINCE_PING,), (Do.CLEAR_PING, Do.SEND_REQUEST),
                      "No pong came, but other frames did, so the link is alive"),
    *_resume_rules(197, (P,), _T.DEADLINE, (), _SILENT),
    *_link_loss_rules(70, (P,), _T.DEADLINE, (), _SILENT),
    *_rule(160, _UP_EXCEPT_PING, _T.CANARY, None, "The connection sends the canary as soon as no other request is in flight.",
           do=(Do.SEND_REQUEST,)),
    *_rule(161, (P,), _T.CANARY, None, "The connection sends the canary after the answer to the ping."),
    *_rule(74, _UP_EXCEPT_PING, _T.WOKEN, P, f"{_SLEPT}, and the link may be dead: the connection sends a ping at once.",
           when=(If.MAY_PING,), do=(Do.SEND_PING,)),
    *_rule(75, _UP, _T.WOKEN, None,
           f"{_SLEPT}, and no ping may leave: pings are off, another answer is due, or the budget is used up."),
    *_rule(76, (R,), _T.WOKEN, None, f"{_SLEPT}, and the network may be back: the connection dials now.",
           when=(If.CAN_DIAL_EARLY,), do=(Do.DIAL,)),
    *_rule(77, (R,), _T.WOKEN, None, f"{_SLEPT}; a dial under way keeps its deadline, and a throttled dial keeps its delay."),
    # --- the end ------------------------------------------------------------------------------------------------------
    *_rule(80, (X,), _T.CLOSED, None, "The last socket is closed.", do=(Do.CLEAR_CLOSING,)),
)  # fmt: skip


def _ignore(states: Iterable[State], triggers: Iterable[Trigger], why: str) -> dict[tuple[State, Trigger], str]:
    return {(state, trigger): why for state in states for trigger in triggers}


_SOCKET = (
    _T.OPENED, _T.GREETED, _T.ACKNOWLEDGED, _T.PONG, _T.SERVER_ERROR, _T.RECOVERED, _T.LOST, _T.DIAL_FAILED, _T.DEAF,
)  # fmt: skip

_IGNORED = {
    **_ignore(_DOWN, (*_SOCKET, _T.CLOSED), "The connection has no socket: the input is of an earlier one."),
    **_ignore(_DOWN, (_T.DEADLINE, _T.WOKEN), "The connection has no deadline, and no link that could be dead."),
    **_ignore((D,), (_T.DISCONNECT,), "The connection has no link, and the user wants no link."),
    **_ignore((D, R, E), (_T.CANARY,), "No link is up on which a canary could come back."),
    **_ignore((R,), (_T.DEAF,), "No link is up from which a canary could be missing."),
    **_ignore((R, *_UP), (_T.CONNECT,), "The user wants a link already."),
    **_ignore((R,), (_T.ACKNOWLEDGED, _T.PONG, _T.RECOVERED), "The connection has asked nothing on this link yet."),
    **_ignore(_UP, (_T.OPENED, _T.GREETED, _T.DIAL_FAILED), "This link is up already."),
    **_ignore(_UP_EXCEPT_PING, (_T.PONG,), "The pong is late: other frames, or an error frame, have answered for its ping."),
    **_ignore((U,), (_T.UNSUBSCRIBE,), "No subscription is left to remove."),
    **_ignore((P,), (_T.SUBSCRIBE, _T.UNSUBSCRIBE), "The connection sends the request after the answer to the ping."),
    **_ignore((P,), (_T.ACKNOWLEDGED,), "No request is in flight while the connection waits for a pong."),
    **_ignore((X,), (t for t in _T if t is not _T.CLOSED), "Nothing follows the end."),
}

_NOTES: dict[Trigger, tuple[str, ...]] = {
    _T.CONNECT: (),
    _T.SUBSCRIBE: (Note.ADD_SUBSCRIPTION, Note.UPDATE_TIMERS),
    _T.UNSUBSCRIBE: (Note.REMOVE_SUBSCRIPTION, Note.UPDATE_TIMERS),
    _T.RECONNECT: (),
    _T.DISCONNECT: (),
    _T.DISPOSE: (),
    _T.AUTHENTICATE: (Note.BEGIN_IDENTITY_TRIAL,),
    _T.LOG_OUT: (Note.END_IDENTITY_TRIAL,),
    _T.PRESENCE: (Note.SET_PRESENCE,),
    _T.PING_SWITCHED: (Note.SWITCH_PING,),
    _T.OPENED: (),
    _T.GREETED: (Note.RECORD_GREETING,),
    _T.ACKNOWLEDGED: (Note.ACCEPT_REPLY, Note.UPDATE_TIMERS),
    _T.PONG: (Note.RECORD_PONG,),
    _T.SERVER_ERROR: (
        Note.SKIP_REPEATED_ERROR, Note.RECORD_ERROR, Note.ACCEPT_ERROR_AS_PONG, Note.REJECT_NEW_IN_URL, Note.ANSWER_REQUEST,
        Note.UPDATE_TIMERS,
    ),
    _T.RECOVERED: (Note.PROVE_SERVER,),
    _T.LOST: (Note.END_DRAINING, Note.RECORD_END),
    _T.DIAL_FAILED: (Note.RECORD_END,),
    _T.CLOSED: (Note.FORGET_CLOSED,),
    _T.DEAF: (Note.RECORD_DEAFNESS,),
    _T.DEADLINE: (Note.RECORD_OVERDUE,),
    _T.CANARY: (Note.PROBE_LINK,),
    _T.WOKEN: (),
}  # fmt: skip
"""The notes of each trigger, in their order. They run in every state, before the machine asks a guard."""

TABLE: Table[State, Trigger] = Table(
    states=tuple(State), triggers=tuple(Trigger), initial=D, final=X, rows=_ROWS, ignored=_IGNORED, notes=_NOTES
)
"""The table that runs."""
