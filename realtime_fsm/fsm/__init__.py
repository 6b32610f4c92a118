"""The machine: table, inputs, notes, guards, effects, commands, context and policies. It does no I/O and reads no clock."""
