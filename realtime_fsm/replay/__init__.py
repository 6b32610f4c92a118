"""Replay: the real machine, driven once more by what an audit log tells.

The law: nothing is simulated but the world. The seat, the book, the guards and the effects are those of the library; the log
gives the moments and what happened, and the machine must take the rows that the log names.

The theory. A record tells which row was taken, and so what happened; what it does not tell can be found out. Facts that guards
look at are the machine's own. Frames that only show that a peer is alive are in no record, but the row that was taken says
whether one came. A random number is found by solving the policy for the moment at which its delay was over. Where other
connections of the process waited for the same server, the log shows when a place was free. So each step is solved from its
record and those after it; if the machine then takes another row than the log, something really differs.

One road: `story` reads the records of one connection, `foresight` and `rebuilding` make inputs of them, `player` steps the
machine and compares, `divergence` tells where they part, and `emitting` writes the path down as a test.
"""
