"""Where each step leads, written by hand: an oracle that knows nothing of the table."""

from __future__ import annotations

from realtime_fsm.fsm.table import TABLE, State
from support.some import some

SHORT = {
    "dis": State.DISCONNECTED, "rec": State.RECONNECTING, "con": State.CONNECTED, "sub": State.SUBSCRIBED,
    "uns": State.UNSUBSCRIBED, "pin": State.PING, "err": State.ERROR, "end": State.DISPOSING,
}  # fmt: skip
ORACLE = """
connect: dis>rec err>rec
subscribe: dis>rec err>rec rec= con= sub= uns>con
unsubscribe all_acknowledged: con>sub
unsubscribe no_subscriptions: con>uns sub>uns
unsubscribe: dis= rec= con= sub= err=
reconnect: dis>rec rec= con>rec sub>rec uns>rec pin>rec err>rec
disconnect: rec>dis con>dis sub>dis uns>dis pin>dis err>dis
dispose: dis>end rec>end con>end sub>end uns>end pin>end err>end
authenticate can_authenticate_in_band: sub=
authenticate: dis>rec rec= con>rec sub>rec uns>rec pin>rec err>rec
log_out: dis>rec err>rec rec= con>rec sub>rec uns>rec pin>rec
presence presence_wanted: dis>rec err>rec
presence presence_needs_link: con>rec sub>rec uns>rec pin>rec
presence: dis= rec= con= sub= uns= pin= err=
canary: con= sub= uns= pin=
ping_switched ping_enabled: pin=
ping_switched all_acknowledged: pin>sub
ping_switched no_subscriptions: pin>uns
ping_switched: dis= rec= con= sub= uns= pin>con err=
opened: rec=
greeted can_resume old_link_complete: rec>sub
greeted can_resume old_link_empty: rec>uns
greeted can_resume: rec>con
greeted user_changed: rec>con
greeted trial_failed: rec=
greeted is_fatal: rec>err
greeted: rec>con
dial_failed can_resume old_link_complete: rec>sub
dial_failed can_resume old_link_empty: rec>uns
dial_failed can_resume: rec>con
dial_failed trial_failed: rec=
dial_failed is_fatal: rec>err
dial_failed may_retry: rec=
dial_failed: rec>err
acknowledged all_acknowledged: con>sub
acknowledged: con= sub= uns=
pong all_acknowledged: pin>sub
pong no_subscriptions: pin>uns
pong: pin>con
server_error server_needs_url_channels: rec=
server_error new_subscriptions_rejected: rec=
server_error credentials_renewable: rec=
server_error can_resume old_link_complete: rec>sub con>sub
server_error can_resume old_link_empty: rec>uns
server_error can_resume: rec>con con=
server_error trial_failed: rec=
server_error is_fatal: rec>err
server_error rate_limited: con= sub= uns=
server_error error_answers_request server_at_fault: con= sub= uns=
server_error error_answers_request all_acknowledged: con>sub
server_error error_answers_request no_subscriptions: con>uns sub>uns
server_error error_answers_request: con= sub= uns=
server_error error_answers_ping all_acknowledged: pin>sub
server_error error_answers_ping no_subscriptions: pin>uns
server_error error_answers_ping: pin>con
server_error error_precedes_close: con= sub= uns= pin=
server_error all_acknowledged: pin>sub
server_error no_subscriptions: pin>uns
server_error reconnect_off: con>dis sub>dis uns>dis
server_error may_retry: rec= con>rec sub>rec uns>rec
server_error: rec>err con>err sub>err uns>err pin>con
recovered: con= sub= uns= pin=
lost can_resume old_link_complete: rec>sub con>sub pin>sub
lost can_resume old_link_empty: rec>uns
lost can_resume: rec>con con= pin>con
lost trial_failed: rec=
lost is_fatal: rec>err con>err pin>err
lost reconnect_off: con>dis sub>dis uns>dis pin>dis
lost may_retry: rec= con>rec sub>rec uns>rec pin>rec
lost: rec>err con>err sub>err uns>err pin>err
deaf reconnect_off: con>dis sub>dis uns>dis pin>dis
deaf may_retry: con>rec sub>rec uns>rec pin>rec
deaf: con>err sub>err uns>err pin>err
deadline can_resume old_link_complete: rec>sub pin>sub
deadline can_resume old_link_empty: rec>uns
deadline can_resume: rec>con pin>con
deadline reply_overdue can_resume old_link_complete: con>sub
deadline reply_overdue can_resume: con=
deadline trial_failed: rec=
deadline attempt_due: rec=
deadline reply_overdue reconnect_off: con>dis sub>dis uns>dis
deadline reply_overdue may_retry: con>rec sub>rec uns>rec
deadline reply_overdue: con>err sub>err uns>err
deadline idle_due: uns>dis
deadline renewal_due: con>rec sub>rec uns>rec
deadline handover_due: con>rec sub>rec
deadline ping_due: con>pin sub>pin uns>pin
deadline repetition_due: con= sub= uns=
deadline stable_due: con= sub= uns=
deadline heard_since_ping all_acknowledged: pin>sub
deadline heard_since_ping no_subscriptions: pin>uns
deadline heard_since_ping: pin>con
deadline reconnect_off: pin>dis
deadline may_retry: rec= pin>rec
deadline: rec>err con= sub= uns= pin>err
woken may_ping: con>pin sub>pin uns>pin
woken can_dial_early: rec=
woken: rec= con= sub= uns= pin=
closed all_closed: rec=
closed: rec= con= sub= uns= pin= end=
"""
"""A trigger and what holds: for each state where that decides, the state it leads to; ``=`` where it stays."""


def oracle() -> dict[tuple[State, str], State | None]:
    steps: dict[tuple[State, str], State | None] = {}
    for line in some(ORACLE.strip().splitlines()):
        situation, _, cells = line.partition(":")
        for cell in some(cells.split()):
            key = SHORT[cell[:3]], situation
            assert key not in steps, key
            steps[key] = None if cell.endswith("=") else SHORT[cell[4:]]
    return steps


def test_every_row_leads_where_the_oracle_says() -> None:
    rows = {(row.source, " ".join((row.trigger.value, *row.guards))): row.dest for row in TABLE.rows}
    assert len(rows) == len(TABLE.rows)
    assert rows == oracle()


def test_every_other_cell_is_ignored() -> None:
    decided = {(state, situation.split()[0]) for state, situation in oracle()}
    assert {(state, trigger.value) for state in State for trigger in TABLE.triggers} - decided == {
        (state, trigger.value) for state, trigger in TABLE.ignored
    }
