"""Mutation testing: small changes of the package, each of which some test must notice."""
