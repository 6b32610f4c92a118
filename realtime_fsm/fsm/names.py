"""The names of notes, guards and effects. The table, the audit and the replay use these members.

Invariant: the fingerprint of the table covers the values of the members. So a member, or its function, may get another name.

Design: `realtime_fsm.fsm.notes`, `guards` and `effects` each register one function for each member.
"""

from __future__ import annotations

from enum import StrEnum


class Note(StrEnum):
    """The notes; `realtime_fsm.fsm.notes` defines each."""

    ADD_SUBSCRIPTION = "add_subscription"
    REMOVE_SUBSCRIPTION = "remove_subscription"
    BEGIN_IDENTITY_TRIAL = "begin_identity_trial"
    END_IDENTITY_TRIAL = "end_identity_trial"
    SET_PRESENCE = "set_presence"
    SWITCH_PING = "switch_ping"
    RECORD_GREETING = "record_greeting"
    ACCEPT_REPLY = "accept_reply"
    RECORD_PONG = "record_pong"
    PROVE_SERVER = "prove_server"
    SKIP_REPEATED_ERROR = "skip_repeated_error"
    RECORD_ERROR = "record_error"
    ACCEPT_ERROR_AS_PONG = "accept_error_as_pong"
    REJECT_NEW_IN_URL = "reject_new_in_url"
    ANSWER_REQUEST = "answer_request"
    END_DRAINING = "end_draining"
    RECORD_END = "record_end"
    FORGET_CLOSED = "forget_closed"
    RECORD_DEAFNESS = "record_deafness"
    RECORD_OVERDUE = "record_overdue"
    PROBE_LINK = "probe_link"
    UPDATE_TIMERS = "update_timers"


class Guard(StrEnum):
    """The guards; `realtime_fsm.fsm.guards` defines each."""

    ALL_ACKNOWLEDGED = "all_acknowledged"
    NO_SUBSCRIPTIONS = "no_subscriptions"
    SERVER_NEEDS_URL_CHANNELS = "server_needs_url_channels"
    NEW_SUBSCRIPTIONS_REJECTED = "new_subscriptions_rejected"
    CREDENTIALS_RENEWABLE = "credentials_renewable"
    PRESENCE_WANTED = "presence_wanted"
    PRESENCE_NEEDS_LINK = "presence_needs_link"
    TRIAL_FAILED = "trial_failed"
    ALL_CLOSED = "all_closed"
    USER_CHANGED = "user_changed"
    CAN_RESUME = "can_resume"
    OLD_LINK_COMPLETE = "old_link_complete"
    OLD_LINK_EMPTY = "old_link_empty"
    HANDOVER_DUE = "handover_due"
    ERROR_ANSWERS_PING = "error_answers_ping"
    RATE_LIMITED = "rate_limited"
    ERROR_PRECEDES_CLOSE = "error_precedes_close"
    SERVER_AT_FAULT = "server_at_fault"
    ERROR_ANSWERS_REQUEST = "error_answers_request"
    IS_FATAL = "is_fatal"
    MAY_RETRY = "may_retry"
    RECONNECT_OFF = "reconnect_off"
    CAN_DIAL_EARLY = "can_dial_early"
    ATTEMPT_DUE = "attempt_due"
    REPLY_OVERDUE = "reply_overdue"
    MAY_PING = "may_ping"
    PING_DUE = "ping_due"
    RENEWAL_DUE = "renewal_due"
    CAN_AUTHENTICATE_IN_BAND = "can_authenticate_in_band"
    IDLE_DUE = "idle_due"
    STABLE_DUE = "stable_due"
    REPETITION_DUE = "repetition_due"
    PING_ENABLED = "ping_enabled"
    HEARD_SINCE_PING = "heard_since_ping"


class Effect(StrEnum):
    """The effects; `realtime_fsm.fsm.effects` defines each."""

    RESET_ATTEMPTS = "reset_attempts"
    EXPECT_FIRST_LINK = "expect_first_link"
    FIND_ERA = "find_era"
    RENEW_CREDENTIALS = "renew_credentials"
    DIAL = "dial"
    USE_URL_SUBSCRIPTIONS = "use_url_subscriptions"
    DRAIN_LINK = "drain_link"
    CLOSE_DRAINING = "close_draining"
    RESUME_LINK = "resume_link"
    SCHEDULE_RETRY = "schedule_retry"
    AWAIT_GREETING = "await_greeting"
    START_LIVE_LINK = "start_live_link"
    SCHEDULE_PING = "schedule_ping"
    SEND_PING = "send_ping"
    CLEAR_PING = "clear_ping"
    SEND_REQUEST = "send_request"
    SEND_AUTHENTICATION = "send_authentication"
    RESET_BACKOFF = "reset_backoff"
    ABORT_LINK = "abort_link"
    CLOSE_LINK = "close_link"
    CLOSE_FIRST = "close_first"
    RESTORE_IDENTITY = "restore_identity"
    FAIL_PERMANENTLY = "fail_permanently"
    NOTIFY_LINK_LOST = "notify_link_lost"
    NOTIFY_DISCONNECTED = "notify_disconnected"
    END_STREAMS = "end_streams"
    CLEAR_CLOSING = "clear_closing"
