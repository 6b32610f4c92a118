"""The names under which guards and effects are registered. Rules of the table, the audit and the replay refer to these members.

Invariant: the fingerprint of the table covers the values, so a value stays as it is when a function gets another name.
"""

from __future__ import annotations

from enum import StrEnum


class Guard(StrEnum):
    """The guards; `realtime_fsm.core.guards` defines each."""

    ALL_ACKNOWLEDGED = "all_acknowledged"
    NONE_LEFT = "none_left"
    WANTS_CHANNELS = "wants_channels"
    NEWCOMERS_BLAMED = "newcomers_blamed"
    CREDENTIALS_RENEWABLE = "credentials_renewable"
    PRESENCE_WANTED = "presence_wanted"
    PRESENCE_NEEDS_LINK = "presence_needs_link"
    TRIAL_FAILED = "trial_failed"
    ALL_CLOSED = "all_closed"
    HANDOVER_DUE = "handover_due"
    ANSWERS_PING = "answers_ping"
    OVER_BUDGET = "over_budget"
    ENDS_LINK = "ends_link"
    SERVER_AT_FAULT = "server_at_fault"
    REQUEST_BLAMED = "request_blamed"
    IS_FATAL = "is_fatal"
    MAY_RETRY = "may_retry"
    RECONNECT_OFF = "reconnect_off"
    MAY_HURRY = "may_hurry"
    ATTEMPT_DUE = "attempt_due"
    REPLY_OVERDUE = "reply_overdue"
    MAY_PING = "may_ping"
    PING_DUE = "ping_due"
    RENEWAL_DUE = "renewal_due"
    MESSAGE_IS_SAFE = "message_is_safe"
    IDLE_DUE = "idle_due"
    STABLE_DUE = "stable_due"
    REPETITION_DUE = "repetition_due"
    PING_ENABLED = "ping_enabled"
    HEARD_SINCE_PING = "heard_since_ping"


class Effect(StrEnum):
    """The effects; `realtime_fsm.core.effects` defines each."""

    START_AFRESH = "start_afresh"
    EXPECT_FIRST_LINK = "expect_first_link"
    FIND_ERA = "find_era"
    RENEW_CREDENTIALS = "renew_credentials"
    DIAL = "dial"
    USE_ADDRESS = "use_address"
    RETIRE_LINK = "retire_link"
    SCHEDULE_RETRY = "schedule_retry"
    AWAIT_GREETING = "await_greeting"
    WELCOME = "welcome"
    PLAN_PING = "plan_ping"
    SEND_PING = "send_ping"
    STOP_AWAITING_PONG = "stop_awaiting_pong"
    SEND_REQUEST = "send_request"
    SEND_AUTHENTICATION = "send_authentication"
    FORGIVE = "forgive"
    DROP_LINK = "drop_link"
    HANG_UP = "hang_up"
    CLOSE_FIRST = "close_first"
    RESTORE_IDENTITY = "restore_identity"
    GIVE_UP = "give_up"
    TELL_LOSS = "tell_loss"
    TELL_DISCONNECT = "tell_disconnect"
    END_STREAMS = "end_streams"
    FORGET_SOCKET = "forget_socket"
