"""The path of connection c1, as its audit log tells it: 29 steps, 202.0 seconds.

Written by `realtime-fsm replay --emit-test`; the table was 07de2d6471d9.
The log names no channels and holds no payloads, sessions or texts of the server: placeholders stand for them. The machine is
stepped with what happened, at the moments of the log, and must take the same rows and ask for the same things again.
"""

from __future__ import annotations

from realtime_fsm import PingPolicy, RetryPolicy, Timeouts
from realtime_fsm.testing.replay import (
    Acknowledged,
    Connect,
    Deadline,
    Disconnect,
    ErrorReceived,
    GreetingReceived,
    LinkClosed,
    Opened,
    PingEnabledChanged,
    Pong,
    Step,
    Subscribe,
    SubscriptionSpec,
    check_path,
    granted,
)

RETRY = RetryPolicy(attempts=3, reconnect_attempts=None, base=4.0, factor=4.0, cap=30.0, stable_after=50.0, dials_per_minute=1)
PING = PingPolicy(interval=30.0, timeout=10.0, enabled=True)
TIMEOUTS = Timeouts(dial=10.0, greeting=10.0, reply=10.0, close=5.0, idle=None)

# fmt: off
STEPS = (
    Step(  0.000, Connect(),                                       "dis1",  "reconnecting", 1, 1, 0, "open"),
    Step(  0.000, Disconnect(),                                    "rec13", "disconnected", 1, 1, 0, "drop fail"),
    Step(  0.000, Connect(),                                       "dis1",  "reconnecting", 1, 0, 0, "", dial_slot=60.000),
    Step( 60.000, Deadline(),                                      "rec32", "reconnecting", 2, 1, 0, "open"),
    Step( 60.000, Opened(2),                                       "rec21", "reconnecting", 2, 1, 0, ""),
    Step( 60.000, GreetingReceived(2),                             "rec22", "connected",    2, 1, 0, "identify", draw=0.0),
    Step( 60.000, Subscribe(SubscriptionSpec("s1", ("channel",))), "con4",  "connected",    2, 1, 1, "send"),
    Step( 60.000, ErrorReceived(2, 0, "not in the log"),           "con110", "connected",    2, 1, 1, ""),
    Step( 62.000, Deadline(),                                      "con115", "connected",    2, 1, 2, "send"),
    Step( 62.000, Acknowledged(2, "subscribe", granted("s1")),     "con40", "subscribed",   2, 1, 2, "end_fault acknowledge"),
    Step( 90.000, Deadline(),                                      "sub64", "ping",         2, 1, 3, "send"),
    Step(100.000, Deadline(),                                      "pin67", "subscribed",   2, 1, 3, "", heard=True),
    Step(112.000, Deadline(),                                      "sub65", "subscribed",   2, 0, 3, ""),
    Step(120.000, Deadline(),                                      "sub64", "ping",         2, 0, 4, "send"),
    Step(120.000, Pong(2),                                         "pin42", "subscribed",   2, 0, 4, ""),
    Step(120.000, ErrorReceived(2, 1008, "not in the log"),        "sub52", "subscribed",   2, 0, 4, "", draw=1.0),
    Step(120.000, LinkClosed(2, 1001),                             "sub58", "reconnecting", 2, 0, 4, "drop", heard=True),
    Step(122.000, Deadline(),                                      "rec32", "reconnecting", 3, 1, 0, "open"),
    Step(122.000, Opened(3),                                       "rec21", "reconnecting", 3, 1, 0, ""),
    Step(122.000, GreetingReceived(3),                             "rec22", "connected",    3, 1, 1, "identify send", draw=0.0),
    Step(122.000, Acknowledged(3, "subscribe", granted("s1")),     "con40", "subscribed",   3, 1, 1, "acknowledge"),
    Step(152.000, Deadline(),                                      "sub64", "ping",         3, 1, 2, "send"),
    Step(152.000, Pong(3),                                         "pin42", "subscribed",   3, 1, 2, ""),
    Step(172.000, Deadline(),                                      "sub65", "subscribed",   3, 0, 2, ""),
    Step(172.000, PingEnabledChanged(enabled=False),               "sub16", "subscribed",   3, 0, 2, ""),
    Step(172.000, PingEnabledChanged(enabled=True),                "sub16", "subscribed",   3, 0, 2, ""),
    Step(202.000, Deadline(),                                      "sub64", "ping",         3, 0, 3, "send"),
    Step(202.000, ErrorReceived(3, 1008, "not in the log"),        "pin52", "ping",         3, 0, 3, ""),
    Step(202.000, LinkClosed(3, 1006),                             "pin58", "reconnecting", 3, 0, 3, "drop"),
)
# fmt: on


def test_the_connection_takes_the_path_that_was_logged() -> None:
    check_path(STEPS, retry=RETRY, ping=PING, timeouts=TIMEOUTS, auto_reconnect=True, max_link_age=None, era=None)
