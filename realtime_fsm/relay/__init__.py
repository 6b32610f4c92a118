"""Publish the events of a connection to a broker, at least once."""
