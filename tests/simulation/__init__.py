"""The deterministic simulation: the real client over a simulated network and clock, a seed per run, faults by the thousand."""
