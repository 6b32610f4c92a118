"""Replay: the machine, driven once more by an audit log.

Invariant: the replay simulates the driver and the server only. Context, guards and effects are those of the library, and the
machine must take the transition rules that the log names.

Design: a record names the rule of a step and the facts on which the step depended: the moment, the random number, whether pings
are on, whether another frame came, and when a dial may start. The machine computes everything else. A record of an older version
lacks some facts; from the first missing fact on, the replay is inconclusive.

`log_reader` reads the records of one connection, and `log_facts` finds the facts that only later records tell. `inputs` makes
inputs of the records, `replayer` steps the `harness` and compares, and `divergence` explains a difference. `test_writer` writes
the path as a test, with the moments of `rounding` and the Python of `source_code`. `scenario` finds the faults of the server.
"""
