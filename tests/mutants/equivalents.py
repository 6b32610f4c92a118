"""List the mutants without a visible effect, each with the reason. The score leaves them out."""

EQUIVALENTS: dict[str, str] = {}
"""The reason by the mutant, in the notation of the run."""
