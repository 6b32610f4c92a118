"""Generators of the files in diagrams/: `make diagrams` writes them, `make drift` compares them."""
