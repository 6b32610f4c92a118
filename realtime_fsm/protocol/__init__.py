"""Appwrite on the wire, bytes to values and back. No I/O; no third-party package but msgspec."""
