"""An HTTP request of a client, for an upgrade or a REST call."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request. Its repr is empty, because target, headers and body may carry credentials."""

    target: str = field(repr=False)  # the path and the query string, as in the request line
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # names and values, in order
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Return the first value of a header, whose case does not matter, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")
