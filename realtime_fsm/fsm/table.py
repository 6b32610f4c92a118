"""The table: the whole behaviour of a connection, as data.

Invariant: a row of this table, and nothing else, changes the state of a connection. The machine runs the table, the diagrams
draw it, the audit log names its rows and the tests walk it, so the four cannot drift apart.

Design: An input comes from the user, the socket or the clock. The notes of its trigger keep its facts, in every state. The
guards of the rows for (state, trigger) are then asked in order. The first row whose guards all hold is taken: its effects run,
and its `dest` becomes the state. A row without a `dest` is internal: the state stays. A cell without a row is ignored on
purpose, and `_IGNORED` gives the reason; so each cell of state x trigger is a row or a decision.

A row's id is the state's short name and the rule's number. The same number in several states is the same rule. Ids are
stable: a new rule takes a new number, and the number of a rule that is gone is not used again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

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
        """Whether the link is up: a heartbeat must never look like a lost connection."""
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


def _rule(
    number: int,
    sources: Iterable[State],
    trigger: Trigger,
    dest: State | None,
    why: str,
    *,
    when: tuple[If, ...] = (),
    do: tuple[Do, ...] = (),
) -> tuple[Row[State, Trigger], ...]:
    return tuple(Row(f"{_SHORT[source]}{number}", source, trigger, dest, when, do, why) for source in sources)


def _link_loss_rows(
    number: int, sources: tuple[State, ...], trigger: Trigger, when: tuple[If, ...], what: str
) -> tuple[Row[State, Trigger], ...]:
    """Build the three rules for a link that is gone, numbered from `number`."""
    return (
        *_rule(
            number, sources, trigger, D, f"{what}, and auto_reconnect is off: waiting calls and iterators raise `LinkLost`.",
            when=(*when, If.RECONNECT_OFF), do=(Do.ABORT_LINK, Do.NOTIFY_LINK_LOST),
        ),
        *_rule(
            number + 1, sources, trigger, R, f"{what}: dial again after the retry policy's delay.",
            when=(*when, If.MAY_RETRY), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY),
        ),
        *_rule(
            number + 2, sources, trigger, E, f"{what}, and the retry policy allows no further dial.",
            when=when, do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY),
        ),
    )  # fmt: skip


def _ping_over_rows(
    number: int, trigger: Trigger, when: tuple[If, ...], do: tuple[Do, ...], what: str
) -> tuple[Row[State, Trigger], ...]:
    """Build the three rules that leave `ping`, to the state of the subscriptions; numbered from `number`."""
    return (
        *_rule(
            number, (P,), trigger, S, f"{what}; everything desired is acknowledged.", when=(*when, If.ALL_ACKNOWLEDGED), do=do
        ),
        *_rule(
            number + 1,
            (P,),
            trigger,
            U,
            f"{what}; the last subscription has been removed.",
            when=(*when, If.NO_SUBSCRIPTIONS),
            do=do,
        ),
        *_rule(number + 2, (P,), trigger, C, f"{what}; nothing is desired, or not all of it acknowledged.", when=when, do=do),
    )


def _resume_rows(
    number: int, sources: tuple[State, ...], trigger: Trigger, when: tuple[If, ...], what: str
) -> tuple[Row[State, Trigger], ...]:
    """Build the rows that go back to the old link when a handover fails for good, numbered from `number`.

    In the live states the old link still serves something that the new one does not, or it would be gone.
    """
    return tuple(
        row
        for source in sources
        for offset, dest, guards, how in (
            (0, S, (If.OLD_LINK_COMPLETE,), "serves everything desired"),
            (1, U, (If.OLD_LINK_EMPTY,), "has no subscription left"),
            (2, C, (), "serves a part of what is desired, if anything"),
        )
        if source is R or dest is not U
        for row in _rule(
            number + offset, (source,), trigger, None if dest is source else dest,
            f"{what}, and no other attempt follows: back to the old link, which {how}.",
            when=(*when, If.CAN_RESUME, *guards), do=(Do.ABORT_LINK, Do.RESUME_LINK, Do.SEND_REQUEST),
        )
    )  # fmt: skip


_DOWN = (D, E)
_LIVE_EXCEPT_PING = (C, S, U)
_UP = (C, S, U, P)
_T = Trigger

_ROWS = (
    # --- the user -----------------------------------------------------------------------------------------------------
    *_rule(1, _DOWN, _T.CONNECT, R, "The user wants a link: the first dial is immediate, with a full count.",
           do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(2, _DOWN, _T.SUBSCRIBE, R, "A subscription needs a link: as connect.",
           do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(3, (R,), _T.SUBSCRIBE, None, "It is desired, and goes out after the greeting."),
    *_rule(4, (C, S), _T.SUBSCRIBE, None, "It goes out as soon as no other request is in flight.", do=(Do.SEND_REQUEST,)),
    *_rule(5, (U,), _T.SUBSCRIBE, C, "Something is desired again and not yet acknowledged.", do=(Do.SEND_REQUEST,)),
    *_rule(6, (C,), _T.UNSUBSCRIBE, S, "The last one without acknowledgement is gone; all others are acknowledged.",
           when=(If.ALL_ACKNOWLEDGED,), do=(Do.SEND_REQUEST,)),
    *_rule(7, (C, S), _T.UNSUBSCRIBE, U, "The last subscription has been removed; the link stays.",
           when=(If.NO_SUBSCRIPTIONS,), do=(Do.SEND_REQUEST,)),
    *_rule(8, (C, S), _T.UNSUBSCRIBE, None, "Others remain.", do=(Do.SEND_REQUEST,)),
    *_rule(9, (D, R, E), _T.UNSUBSCRIBE, None, "No link has to learn of it: it is gone at once."),
    *_rule(10, (D, E), _T.RECONNECT, R, "The user wants a link now, with a full count.",
           do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(11, (R,), _T.RECONNECT, None, "The attempt under way is given up for one that starts at once; the count goes on.",
           do=(Do.ABORT_LINK, Do.FIND_ERA, Do.DIAL)),
    *_rule(12, _UP, _T.RECONNECT, R, "The user wants a new link, at once, with a full count; this one delivers until then.",
           do=(Do.DRAIN_LINK, Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(13, (R, *_UP, E), _T.DISCONNECT, D, "The user wants no link; the subscriptions are kept for the next one.",
           do=(Do.CLOSE_LINK, Do.NOTIFY_DISCONNECTED)),
    *_rule(14, (D, R, *_UP, E), _T.DISPOSE, X, "The end: the socket is closed and every stream ends.",
           do=(Do.CLOSE_LINK, Do.END_STREAMS)),
    *_rule(90, (D, E), _T.AUTHENTICATE, R, "The new identity goes into the dial.",
           do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(91, (R,), _T.AUTHENTICATE, None, "The attempt under way is given up for one as the new identity.",
           do=(Do.ABORT_LINK, Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(92, (S,), _T.AUTHENTICATE, None, "Something is acknowledged and nothing in flight: a message is safe here.",
           when=(If.CAN_AUTHENTICATE_IN_BAND,), do=(Do.SEND_AUTHENTICATION,)),
    *_rule(93, _UP, _T.AUTHENTICATE, R,
           "A message could make the server forget the project: a new link, as the new identity, while this one delivers.",
           do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(152, _DOWN, _T.LOG_OUT, R, "The next link is a guest's.",
           do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(152, (R,), _T.LOG_OUT, None, "The attempt under way ends; the next link is a guest's, once this one is closed.",
           do=(Do.CLOSE_LINK, Do.CLOSE_FIRST, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(152, _UP, _T.LOG_OUT, R, "The next link is a guest's, and is dialed once this one is closed.",
           do=(Do.CLOSE_LINK, Do.CLOSE_FIRST, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(98, _DOWN, _T.PRESENCE, R, "A presence needs a link: as connect.",
           when=(If.PRESENCE_WANTED,), do=(Do.FIND_ERA, Do.RESET_ATTEMPTS, Do.EXPECT_FIRST_LINK, Do.DIAL)),
    *_rule(99, _DOWN, _T.PRESENCE, None, "No link has to learn of it: the next one shows no presence."),
    *_rule(100, (R,), _T.PRESENCE, None, "It is desired, and goes out after the greeting."),
    *_rule(150, _UP, _T.PRESENCE, R, "The server ignores a second id on a link: a new link, once this one is closed.",
           when=(If.PRESENCE_NEEDS_LINK,), do=(Do.CLOSE_LINK, Do.CLOSE_FIRST, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(151, (P,), _T.PRESENCE, None, "It is desired, and goes out after the answer."),
    *_rule(101, _LIVE_EXCEPT_PING, _T.PRESENCE, None, "It goes out as soon as no other request is in flight.",
           do=(Do.SEND_REQUEST,)),
    *_rule(15, (D, R, E), _T.PING_SWITCHED, None, "It counts from the next link on."),
    *_rule(16, _LIVE_EXCEPT_PING, _T.PING_SWITCHED, None, "The next ping is planned anew, or none is.", do=(Do.SCHEDULE_PING,)),
    *_rule(17, (P,), _T.PING_SWITCHED, None, "Still on: the answer is awaited as before.", when=(If.PING_ENABLED,)),
    *_ping_over_rows(
        18, _T.PING_SWITCHED, (), (Do.CLEAR_PING, Do.SCHEDULE_PING, Do.SEND_REQUEST), "Pings are off, so none is awaited"
    ),
    # --- the socket, on the way up ------------------------------------------------------------------------------------
    *_rule(21, (R,), _T.OPENED, None, "The upgrade is done; nothing may be sent before the greeting.", do=(Do.AWAIT_GREETING,)),
    *_rule(153, (R,), _T.CLOSED, None, "The old link is closed, and the next dial waited for that.",
           when=(If.ALL_CLOSED,), do=(Do.DIAL,)),
    *_rule(154, (R,), _T.CLOSED, None, "An old link is closed; the next dial waits for another one."),
    *_resume_rows(173, (R,), _T.GREETED, (), "The server does not know the new identity"),
    *_rule(155, (R,), _T.GREETED, None, "The server does not know the new identity: the old one is dialed at once.",
           when=(If.TRIAL_FAILED,), do=(Do.ABORT_LINK, Do.RESTORE_IDENTITY, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(35, (R,), _T.GREETED, E, "The server greets a guest where a user was expected.",
           when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    *_rule(170, (R,), _T.GREETED, C, "The server greets another user: the old link closes, and its late events are dropped.",
           when=(If.USER_CHANGED,), do=(Do.CLOSE_DRAINING, Do.START_LIVE_LINK, Do.SEND_REQUEST)),
    *_rule(22, (R,), _T.GREETED, C, "The link is up: everything desired is requested on it.",
           do=(Do.START_LIVE_LINK, Do.SEND_REQUEST)),
    *_rule(94, (R,), _T.SERVER_ERROR, None, "The server refuses a dial without channels: an older one wants them in the URL.",
           when=(If.SERVER_NEEDS_URL_CHANNELS,), do=(Do.ABORT_LINK, Do.USE_URL_SUBSCRIPTIONS, Do.DIAL)),
    *_rule(97, (R,), _T.SERVER_ERROR, None, "The server refuses the new subscriptions in the URL: the next one has the others.",
           when=(If.NEW_SUBSCRIPTIONS_REJECTED,), do=(Do.ABORT_LINK, Do.DIAL)),
    *_rule(130, (R,), _T.SERVER_ERROR, None, "The server refuses the credentials (401, 403), and the callable may give new ones.",
           when=(If.CREDENTIALS_RENEWABLE,), do=(Do.ABORT_LINK, Do.RENEW_CREDENTIALS, Do.DIAL)),
    *(
        row
        for number, trial, resume, trigger, what in (
            (23, 156, 176, _T.DIAL_FAILED, "No WebSocket came about"),
            (26, 157, 179, _T.SERVER_ERROR, "The server refused before the greeting, which ends the attempt"),
            (29, 158, 182, _T.LOST, "The stream ended before the greeting"),
        )
        for row in (
            *_resume_rows(resume, (R,), trigger, (), what),
            *_rule(trial, (R,), trigger, None, f"{what}, and so ends the new identity: the old one is dialed at once.",
                   when=(If.TRIAL_FAILED,), do=(Do.ABORT_LINK, Do.RESTORE_IDENTITY, Do.RESET_ATTEMPTS, Do.DIAL)),
            *_rule(number, (R,), trigger, E, f"{what}, for a reason that another attempt would meet again.",
                   when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
            *_rule(number + 1, (R,), trigger, None, f"{what}: dial again after the retry policy's delay.",
                   when=(If.MAY_RETRY,), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY)),
            *_rule(number + 2, (R,), trigger, E, f"{what}, and the retry policy allows no further dial.",
                   do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
        )
    ),
    *_rule(32, (R,), _T.DEADLINE, None, "The delay is over.", when=(If.ATTEMPT_DUE,), do=(Do.DIAL,)),
    *_resume_rows(185, (R,), _T.DEADLINE, (), "No upgrade or no greeting in time"),
    *_rule(159, (R,), _T.DEADLINE, None, "No greeting in time, and so ends the new identity: the old one is dialed at once.",
           when=(If.TRIAL_FAILED,), do=(Do.ABORT_LINK, Do.RESTORE_IDENTITY, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(33, (R,), _T.DEADLINE, None, "No upgrade or no greeting in time: dial again after the retry policy's delay.",
           when=(If.MAY_RETRY,), do=(Do.ABORT_LINK, Do.SCHEDULE_RETRY)),
    *_rule(34, (R,), _T.DEADLINE, E, "No upgrade or no greeting in time, and the retry policy allows no further dial.",
           do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    # --- the socket, live ---------------------------------------------------------------------------------------------
    *_rule(40, (C,), _T.ACKNOWLEDGED, S, "Everything desired is acknowledged on this link.",
           when=(If.ALL_ACKNOWLEDGED,), do=(Do.SEND_REQUEST,)),
    *_rule(41, _LIVE_EXCEPT_PING, _T.ACKNOWLEDGED, None, "One request is answered; the next may go out.", do=(Do.SEND_REQUEST,)),
    *_ping_over_rows(42, _T.PONG, (), (Do.CLEAR_PING, Do.SEND_REQUEST), "The server answered"),
    *_rule(45, _LIVE_EXCEPT_PING, _T.SERVER_ERROR, None,
           "Too many messages (1013, 429): the dropped one follows in the next window.",
           when=(If.RATE_LIMITED,), do=(Do.SEND_REQUEST,)),
    *_rule(46, (C,), _T.SERVER_ERROR, S, "The server refuses the request in flight; everything else is acknowledged.",
           when=(If.ERROR_ANSWERS_REQUEST, If.ALL_ACKNOWLEDGED), do=(Do.SEND_REQUEST,)),
    *_rule(47, (C, S), _T.SERVER_ERROR, U, "The server refuses the request in flight; nothing else is desired.",
           when=(If.ERROR_ANSWERS_REQUEST, If.NO_SUBSCRIPTIONS), do=(Do.SEND_REQUEST,)),
    *_rule(110, _LIVE_EXCEPT_PING, _T.SERVER_ERROR, None, "The server cannot do what was asked: the request is repeated, later.",
           when=(If.ERROR_ANSWERS_REQUEST, If.SERVER_AT_FAULT)),
    *_rule(48, _LIVE_EXCEPT_PING, _T.SERVER_ERROR, None, "The server refuses the request in flight, and the link stays.",
           when=(If.ERROR_ANSWERS_REQUEST,), do=(Do.SEND_REQUEST,)),
    *_ping_over_rows(49, _T.SERVER_ERROR, (If.ERROR_ANSWERS_PING,), (Do.CLEAR_PING, Do.SEND_REQUEST),
             "The ping was refused, by a peer that is alive"),
    *_rule(52, _UP, _T.SERVER_ERROR, None, "The server is about to end the link: the end itself is judged.",
           when=(If.ERROR_PRECEDES_CLOSE,)),
    *_ping_over_rows(111, _T.SERVER_ERROR, (), (Do.CLEAR_PING, Do.SEND_REQUEST),
             "An error answered the ping: the peer is alive, and the server is at fault"),
    *_resume_rows(188, (C,), _T.SERVER_ERROR, (), "The server reports a fault that no request explains"),
    *_link_loss_rows(53, _LIVE_EXCEPT_PING, _T.SERVER_ERROR, (), "The server reports a fault that no request explains"),
    *_rule(114, _UP, _T.RECOVERED, None, "An event came during a server fault: the server works again."),
    *_resume_rows(191, (C, P), _T.LOST, (), "The new link ended"),
    *_rule(56, (C, P), _T.LOST, E, "The server refuses us, and not everything was ever acknowledged on this link.",
           when=(If.IS_FATAL,), do=(Do.ABORT_LINK, Do.FAIL_PERMANENTLY)),
    *_link_loss_rows(57, _UP, _T.LOST, (), "The link ended"),
    *_link_loss_rows(162, _UP, _T.DEAF, (), "A canary went out and did not come back, though the peer answers"),
    *_rule(171, _LIVE_EXCEPT_PING, _T.CLOSED, None,
           "The old link is closed, and the server has deleted its presence: what is wanted goes out again.",
           do=(Do.SEND_REQUEST,)),
    *_rule(172, (P,), _T.CLOSED, None, "The old link is closed; a presence that it had goes out again after the answer."),
    # --- the clock, live ----------------------------------------------------------------------------------------------
    *_resume_rows(194, (C,), _T.DEADLINE, (If.REPLY_OVERDUE,), "A request was not answered in time"),
    *_link_loss_rows(60, _LIVE_EXCEPT_PING, _T.DEADLINE, (If.REPLY_OVERDUE,), "A request was not answered in time"),
    *_rule(63, (U,), _T.DEADLINE, D, "Nothing has been subscribed for as long as an idle link is kept.",
           when=(If.IDLE_DUE,), do=(Do.CLOSE_LINK,)),
    *_rule(73, _LIVE_EXCEPT_PING, _T.DEADLINE, R,
           "The link has reached its greatest age: a new one is dialed while this one delivers.",
           when=(If.RENEWAL_DUE,), do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(96, (C, S), _T.DEADLINE, R, "Channels travel in the URL: a link with all of them is dialed while this one delivers.",
           when=(If.HANDOVER_DUE,), do=(Do.DRAIN_LINK, Do.RESET_ATTEMPTS, Do.DIAL)),
    *_rule(64, _LIVE_EXCEPT_PING, _T.DEADLINE, P, "The next heartbeat is due.", when=(If.PING_DUE,), do=(Do.SEND_PING,)),
    *_rule(65, _LIVE_EXCEPT_PING, _T.DEADLINE, None, "The link has proven itself: earlier failures are forgiven.",
           when=(If.STABLE_DUE,), do=(Do.RESET_BACKOFF,)),
    *_rule(115, _LIVE_EXCEPT_PING, _T.DEADLINE, None, "A request that met a server fault or a refusal (1008) is repeated.",
           when=(If.REPETITION_DUE,), do=(Do.SEND_REQUEST,)),
    *_rule(66, _LIVE_EXCEPT_PING, _T.DEADLINE, None, "The send budget has room again.", do=(Do.SEND_REQUEST,)),
    *_ping_over_rows(67, _T.DEADLINE, (If.HEARD_SINCE_PING,), (Do.CLEAR_PING, Do.SEND_REQUEST),
             "No pong, but other frames came since: the link lives"),
    *_resume_rows(197, (P,), _T.DEADLINE, (), "Nothing was heard since the ping"),
    *_link_loss_rows(70, (P,), _T.DEADLINE, (), "Nothing was heard since the ping"),
    *_rule(160, _LIVE_EXCEPT_PING, _T.CANARY, None, "It goes out as soon as no other request is in flight.",
           do=(Do.SEND_REQUEST,)),
    *_rule(161, (P,), _T.CANARY, None, "It is desired, and goes out after the answer."),
    *_rule(74, _LIVE_EXCEPT_PING, _T.WOKEN, P, "The process slept, and the link may have died meanwhile: ask at once.",
           when=(If.MAY_PING,), do=(Do.SEND_PING,)),
    *_rule(75, _UP, _T.WOKEN, None, "The process slept; the awaited answer will show whether the link lives, or pings are off."),
    *_rule(76, (R,), _T.WOKEN, None, "The process slept: the network may be back, so the next dial is now.",
           when=(If.CAN_DIAL_EARLY,), do=(Do.DIAL,)),
    *_rule(77, (R,), _T.WOKEN, None, "The process slept; the dial under way has its deadline, and a throttled one its minute."),
    # --- the end ------------------------------------------------------------------------------------------------------
    *_rule(80, (X,), _T.CLOSED, None, "The socket is closed; nothing is held any more.", do=(Do.CLEAR_CLOSING,)),
)  # fmt: skip


def _ignore(states: Iterable[State], triggers: Iterable[Trigger], why: str) -> dict[tuple[State, Trigger], str]:
    return {(state, trigger): why for state in states for trigger in triggers}


_SOCKET = (
    _T.OPENED, _T.GREETED, _T.ACKNOWLEDGED, _T.PONG, _T.SERVER_ERROR, _T.RECOVERED, _T.LOST, _T.DIAL_FAILED, _T.DEAF,
)  # fmt: skip

_IGNORED = {
    **_ignore(_DOWN, (*_SOCKET, _T.CLOSED), "There is no socket: this input is of one that was dropped."),
    **_ignore(_DOWN, (_T.DEADLINE, _T.WOKEN), "No deadline is set, and no link can have died."),
    **_ignore((D,), (_T.DISCONNECT,), "There is no link already."),
    **_ignore((D, R, E), (_T.CANARY,), "No link is up that could prove anything."),
    **_ignore((R,), (_T.DEAF,), "This link has not been up yet."),
    **_ignore((R, *_UP), (_T.CONNECT,), "A link is wanted already."),
    **_ignore((R,), (_T.ACKNOWLEDGED, _T.PONG, _T.RECOVERED), "Nothing was asked on this link yet."),
    **_ignore(_UP, (_T.OPENED, _T.GREETED, _T.DIAL_FAILED), "This link is up already."),
    **_ignore(_LIVE_EXCEPT_PING, (_T.PONG,), "A late answer: its ping was settled by other frames, or by an error frame."),
    **_ignore((U,), (_T.UNSUBSCRIBE,), "There is nothing left to remove."),
    **_ignore((P,), (_T.SUBSCRIBE, _T.UNSUBSCRIBE), "It is desired, and goes out after the answer."),
    **_ignore((P,), (_T.ACKNOWLEDGED,), "No request is out while a pong is awaited."),
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
"""The notes of each trigger, in the order in which they run; in every state, before the guards are asked."""

TABLE: Table[State, Trigger] = Table(
    states=tuple(State), triggers=tuple(Trigger), initial=D, final=X, rows=_ROWS, ignored=_IGNORED, notes=_NOTES
)
"""The table that runs."""
