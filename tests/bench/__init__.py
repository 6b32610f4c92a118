"""Measure the client beside other clients: ``make bench``. The server and each candidate run in their own process."""
