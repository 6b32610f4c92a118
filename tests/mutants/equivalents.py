"""Mutants that change nothing that anyone can see, each with the reason. They count neither for nor against the tests."""

EQUIVALENTS: dict[str, str] = {}
"""The reason by the mutant, as the run prints it."""
