"""Where each step leads, written by hand: an oracle that knows nothing of the table."""

from __future__ import annotations

from realtime_fsm.fsm.table import TABLE, State
from support.some import some

SHORT = {
    "dis": State.DISCONNECTED, "rec": State.RECONNECTING, "con": State.CONNECTED, "sub": State.SUBSCRIBED,
    "uns": State.UNSUBSCRIBED, "pin": State.PING, "err": State.ERROR, "end": State.DISPOSING,
}  # fmt: skip
ORACLE = """
1 connect: dis>rec err>rec
2 subscribe: dis>rec err>rec
3 subscribe: rec=
4 subscribe: con= sub=
5 subscribe: uns>con
6 unsubscribe all_acknowledged: con>sub
7 unsubscribe no_subscriptions: con>uns sub>uns
9 unsubscribe: dis= rec= err=
8 unsubscribe: con= sub=
10 reconnect: dis>rec err>rec
11 reconnect: rec=
12 reconnect: con>rec sub>rec uns>rec pin>rec
13 disconnect: rec>dis con>dis sub>dis uns>dis pin>dis err>dis
14 dispose: dis>end rec>end con>end sub>end uns>end pin>end err>end
92 authenticate can_authenticate_in_band: sub=
90 authenticate: dis>rec err>rec
91 authenticate: rec=
93 authenticate: con>rec sub>rec uns>rec pin>rec
152 log_out: dis>rec err>rec rec= con>rec sub>rec uns>rec pin>rec
98 presence presence_wanted: dis>rec err>rec
150 presence presence_needs_link: con>rec sub>rec uns>rec pin>rec
99 presence: dis= err=
100 presence: rec=
101 presence: con= sub= uns=
151 presence: pin=
160 canary: con= sub= uns=
161 canary: pin=
17 ping_switched ping_enabled: pin=
18 ping_switched all_acknowledged: pin>sub
19 ping_switched no_subscriptions: pin>uns
15 ping_switched: dis= rec= err=
16 ping_switched: con= sub= uns=
20 ping_switched: pin>con
21 opened: rec=
173 greeted can_resume old_link_complete: rec>sub
174 greeted can_resume old_link_empty: rec>uns
175 greeted can_resume: rec>con
170 greeted user_changed: rec>con
155 greeted trial_failed: rec=
35 greeted is_fatal: rec>err
22 greeted: rec>con
176 dial_failed can_resume old_link_complete: rec>sub
177 dial_failed can_resume old_link_empty: rec>uns
178 dial_failed can_resume: rec>con
156 dial_failed trial_failed: rec=
23 dial_failed is_fatal: rec>err
24 dial_failed may_retry: rec=
25 dial_failed: rec>err
40 acknowledged all_acknowledged: con>sub
41 acknowledged: con= sub= uns=
42 pong all_acknowledged: pin>sub
43 pong no_subscriptions: pin>uns
44 pong: pin>con
94 server_error server_needs_url_channels: rec=
97 server_error new_subscriptions_rejected: rec=
130 server_error credentials_renewable: rec=
179 server_error can_resume old_link_complete: rec>sub
188 server_error can_resume old_link_complete: con>sub
180 server_error can_resume old_link_empty: rec>uns
181 server_error can_resume: rec>con
190 server_error can_resume: con=
157 server_error trial_failed: rec=
26 server_error is_fatal: rec>err
45 server_error rate_limited: con= sub= uns=
110 server_error error_answers_request server_at_fault: con= sub= uns=
46 server_error error_answers_request all_acknowledged: con>sub
47 server_error error_answers_request no_subscriptions: con>uns sub>uns
48 server_error error_answers_request: con= sub= uns=
49 server_error error_answers_ping all_acknowledged: pin>sub
50 server_error error_answers_ping no_subscriptions: pin>uns
51 server_error error_answers_ping: pin>con
52 server_error error_precedes_close: con= sub= uns= pin=
111 server_error all_acknowledged: pin>sub
112 server_error no_subscriptions: pin>uns
53 server_error reconnect_off: con>dis sub>dis uns>dis
27 server_error may_retry: rec=
54 server_error may_retry: con>rec sub>rec uns>rec
28 server_error: rec>err
55 server_error: con>err sub>err uns>err
113 server_error: pin>con
114 recovered: con= sub= uns= pin=
182 lost can_resume old_link_complete: rec>sub
191 lost can_resume old_link_complete: con>sub pin>sub
183 lost can_resume old_link_empty: rec>uns
184 lost can_resume: rec>con
193 lost can_resume: con= pin>con
158 lost trial_failed: rec=
29 lost is_fatal: rec>err
56 lost is_fatal: con>err pin>err
57 lost reconnect_off: con>dis sub>dis uns>dis pin>dis
30 lost may_retry: rec=
58 lost may_retry: con>rec sub>rec uns>rec pin>rec
31 lost: rec>err
59 lost: con>err sub>err uns>err pin>err
162 deaf reconnect_off: con>dis sub>dis uns>dis pin>dis
163 deaf may_retry: con>rec sub>rec uns>rec pin>rec
164 deaf: con>err sub>err uns>err pin>err
185 deadline can_resume old_link_complete: rec>sub
197 deadline can_resume old_link_complete: pin>sub
186 deadline can_resume old_link_empty: rec>uns
187 deadline can_resume: rec>con
199 deadline can_resume: pin>con
194 deadline reply_overdue can_resume old_link_complete: con>sub
196 deadline reply_overdue can_resume: con=
159 deadline trial_failed: rec=
32 deadline attempt_due: rec=
60 deadline reply_overdue reconnect_off: con>dis sub>dis uns>dis
61 deadline reply_overdue may_retry: con>rec sub>rec uns>rec
62 deadline reply_overdue: con>err sub>err uns>err
63 deadline idle_due: uns>dis
73 deadline renewal_due: con>rec sub>rec uns>rec
96 deadline handover_due: con>rec sub>rec
64 deadline ping_due: con>pin sub>pin uns>pin
115 deadline repetition_due: con= sub= uns=
65 deadline stable_due: con= sub= uns=
67 deadline heard_since_ping all_acknowledged: pin>sub
68 deadline heard_since_ping no_subscriptions: pin>uns
69 deadline heard_since_ping: pin>con
70 deadline reconnect_off: pin>dis
33 deadline may_retry: rec=
71 deadline may_retry: pin>rec
34 deadline: rec>err
66 deadline: con= sub= uns=
72 deadline: pin>err
74 woken may_ping: con>pin sub>pin uns>pin
76 woken can_dial_early: rec=
77 woken: rec=
75 woken: con= sub= uns= pin=
153 closed all_closed: rec=
154 closed: rec=
171 closed: con= sub= uns=
172 closed: pin=
80 closed: end=
"""
"""The rules. Each line has the number of a rule, which never changes, its trigger and its guards.

Behind the colon each source state has the next state; ``=`` stands for a rule that keeps the state.
"""


def oracle() -> dict[tuple[State, str], tuple[str, State | None]]:
    steps: dict[tuple[State, str], tuple[str, State | None]] = {}
    for line in some(ORACLE.strip().splitlines()):
        rule, _, cells = line.partition(":")
        number, _, situation = rule.partition(" ")
        for cell in some(cells.split()):
            key = SHORT[cell[:3]], situation
            assert key not in steps, key
            steps[key] = cell[:3] + number, None if cell.endswith("=") else SHORT[cell[4:]]
    return steps


def test_every_rule_has_the_id_and_the_destination_of_the_oracle() -> None:
    rows = {(row.source, " ".join((row.trigger.value, *row.guards))): (row.id, row.dest) for row in TABLE.rows}
    assert len(rows) == len(TABLE.rows)
    assert rows == oracle()


def test_every_other_cell_is_ignored() -> None:
    decided = {(state, situation.split()[0]) for state, situation in oracle()}
    assert {(state, trigger.value) for state in State for trigger in TABLE.triggers} - decided == {
        (state, trigger.value) for state, trigger in TABLE.ignored
    }
