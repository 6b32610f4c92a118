"""The core: the machine that runs the table, and the subscription book. Synchronous, no I/O, no clock."""
