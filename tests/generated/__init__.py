"""Generators of what stands in diagrams/: `make diagrams` writes it, `make drift` compares it."""
