"""The benchmarks: ``make bench``. Each candidate is a process of its own, and so is the server; see `bench.run`."""
