"""The machine: table, inputs, notes, guards, effects, commands, context and policies. Synchronous, without I/O and clock."""
