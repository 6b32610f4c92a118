"""Replay: the machine, driven once more by an audit log.

Invariant: the replay simulates the world alone. Context, guards and effects are those of the library, and the machine must take
the rows that the log names.

Design: a record tells which row the machine took and what the step depended on: the moment, the random number, whether pings are
on, whether another frame came, and when a dial may leave. The machine finds all else. A record of an older version lacks some of
that; the replay goes as far as the log tells, and is inconclusive from there on.

`log_reader` reads the records of one connection, `inputs` makes inputs of them, `replayer` steps the machine and compares,
`divergence` explains a difference, and `test_writer` writes the path as a test.
"""
