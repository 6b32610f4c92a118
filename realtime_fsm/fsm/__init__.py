"""The machine: table, inputs, commands, guards, effects and policies. Synchronous, without I/O and clock."""
