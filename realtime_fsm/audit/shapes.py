"""The shapes in which containers, shippers and other renderers hand on a record.

Invariant: a shape takes a record out of its wrapper and puts the names of the record back. A shape never invents a value.

Design: products are many, and shapes are few. A record stands behind a text, in a field as a text, in a field as an object, or
as pairs of keys and values; and its event and its timestamp may have another name, or be outside of the record. The search tries
these on a line that the plain decoders refuse, one inside the other. The reader remembers the way to the last record, which
halves the time of a wrapped log.
"""

from __future__ import annotations

import re
from ast import literal_eval
from contextlib import suppress
from itertools import islice
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from realtime_fsm.audit.decoding import EVENTS, BadRecord, ExtendedRecord, decode_fast, decode_unusual, is_ours, parse_moment
from realtime_fsm.audit.secret_scan import mask_secrets
from realtime_fsm.auditlog.layouts import NAMESPACE, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Object = dict[str, Any]
    Scopes = tuple[Object, ...]

MARK = b"realtime."
"""Each line with a record has it, in whichever shape."""
TIMES = ("ts", "time", "@timestamp", "date", "datetime", "asctime", "t", "__REALTIME_TIMESTAMP")
"""Other names of the timestamp, in the order of trust."""
_ID = "connection_id"
_NEEDED = ("event", "machine", _ID, "seq", "timestamp", "link")
_BEHIND = ""  # a step of a way: the text before the first brace is cut off
_DEEPEST, _BRACES, _LONGEST, _SHOWN = 5, 4, 1 << 16, 200
# Fields that shippers put beside those of a record. Hashes and annotations in them look like secrets.
_METADATA = frozenset((
    "agent", "annotations", "aws", "cloud", "container", "container_id", "container_name", "docker", "ecs", "fields",
    "file", "host", "input", "kubernetes", "labels", "log", "logStream", "offset", "orchestrator", "pod", "source_type",
    "stream", "tags", "trace_id", "span_id",
))  # fmt: skip
_PAIR = re.compile(r"""(?<![\w@])([A-Za-z_@][\w.@-]{0,99}+)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^{}]*\}|\S*)""")
_EVENT = re.compile(r"\brealtime\.\w+")
_MEMBER = re.compile(rb"\s*\"[^\"]+\"\s*:")  # a line of JSON that is indented
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_COLOR = re.compile(r"\x1b\[[\d;]*m")
_FLAGS = ("planned", "auto_reconnect", "enabled", "heard")
_WORDS = {"": None, "None": None, "null": None, "nil": None, "True": True, "true": True, "False": False, "false": False}
decode_first: Callable[..., tuple[Any, int]] = JSONDecoder().raw_decode
"""Decodes the JSON with which a text begins, and tells where it ends."""


class _Found(NamedTuple):
    """A record, and the way to it: keys of objects, from the outside; none where its names are put back."""

    record: Object
    way: tuple[str, ...] = ()


class Shapes:
    """Reads the records of lines in any shape.

    Args:
        names: the keys of fields that a log renames, by the field: ``{"event": "message"}``.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = dict(names or {})
        self._id = self._names.get(_ID, _ID)
        self._way: tuple[str, ...] = ()
        self._nearest: frozenset[str] = frozenset()  # the needed fields of the object that comes nearest to a record

    def read(self, line: bytes) -> tuple[bytes, ExtendedRecord | BadRecord | None]:
        """Read a line that the strict decoder refused.

        Returns:
            The record as a plain line, or the line itself; and the record, a broken record, or None for another line.
        """
        if MARK not in line:
            return line, decode_unusual(line) or self._cut(line)
        if self._way and (made := self._follow(line)) is not None:
            return made
        plain = None if self._names else decode_unusual(line)
        if isinstance(plain, ExtendedRecord) and not plain.secrets:
            return line, plain
        if isinstance(plain, BadRecord) and plain.rule == "schema":
            return line, plain
        found = self._in_text(line, (), (), 0)
        if found is not None:
            return self._take(found)
        if plain is None and self._id.encode() in line:
            behind = decode_unusual(line[max(0, line.find(b"{")) :])
            plain = behind if isinstance(behind, BadRecord) else self._cut(line)
        return line, plain

    def _cut(self, line: bytes) -> BadRecord | None:
        """Tell whether the end of a file cuts a line that names a connection."""
        if line.endswith(b"\n") or self._id.encode() not in line:
            return None
        return BadRecord("cut", "the file ends in the middle of a line")

    def explain(self, line: bytes) -> str:
        """Explain why a line that names an event of this library is no record, and quote its beginning."""
        self._nearest = frozenset()
        self.read(line)
        lacking = [name for name in _NEEDED if name not in self._nearest]
        why, remedy = "is neither JSON nor pairs of keys and values", ""
        if self._nearest:
            why = f"lacks {', '.join(lacking)} (see --map)"
        elif _MEMBER.match(line):
            why, remedy = "is a part of a record that takes several lines", "; write one record a line with `jq -c . FILE`"
        quoted = mask_secrets(line[:_LONGEST].decode(errors="replace").strip())
        return f"{why}: {quoted[:_SHOWN]}{'...' * (len(quoted) > _SHOWN)}{remedy}"

    def _follow(self, line: bytes) -> tuple[bytes, ExtendedRecord] | None:
        """Read a record by the way to the last one."""
        text = line
        try:
            for key in self._way:
                if key == _BEHIND:
                    text = text[text.index(b"{") :]
                else:
                    value = msgspec.json.decode(text)[key]
                    text = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
            return text, ExtendedRecord(decode_fast(text), ())
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    def _take(self, found: _Found) -> tuple[bytes, ExtendedRecord | BadRecord | None]:
        line = msgspec.json.encode(found.record) + b"\n"
        try:
            record = decode_fast(line)
        except ValueError:
            return line, decode_unusual(line)
        self._way = found.way
        return line, ExtendedRecord(record, ())

    def _in_text(self, line: bytes, way: tuple[str, ...], around: Scopes, depth: int) -> _Found | None:
        """Search a text: an object in it, or pairs."""
        for start in (brace.start() for brace in islice(re.finditer(rb"\{", line), _BRACES)):
            value = _decoded(line[start:])
            if isinstance(value, dict):
                before = around if not start else (*around, {"time": _stamp(line[:start])})
                found = self._in_object(value, (*way, _BEHIND) if start else way, before, depth)
                if found is not None:
                    return found
        try:
            text = line[:_LONGEST].decode()
        except ValueError:
            return None
        for quote in ('""', '\\"'):  # a field of a CSV, or a text in quotes
            if depth < _DEEPEST and f"{quote}{self._id}{quote}" in text:
                found = self._in_text(text.replace(quote, '"').encode(), (), around, _DEEPEST)
                if found is not None:
                    return _Found(found.record)
        text = _COLOR.sub("", text)
        if f"{self._id}=" not in text:
            return None
        record = self._named(_pairs(text), around)
        return None if record is None else _Found(record)

    def _in_object(self, value: Object, way: tuple[str, ...], around: Scopes, depth: int) -> _Found | None:
        """Search an object: it is a record, or a field of it holds one."""
        record = self._named(value, around)
        if record is not None:
            return _Found(record, way if record == value else ())
        if depth >= _DEEPEST:
            return None
        for key, inner in value.items():
            found = None
            if isinstance(inner, dict):
                inside = restored(inner) if key == NAMESPACE else inner
                found = self._in_object(inside, (*way, key), (value, *around), depth + 1)
            elif isinstance(inner, str) and self._id in inner:
                found = self._in_text(inner.encode(), (*way, key), (value, *around), depth + 1)
            if found is not None:
                return found
        return None

    def _named(self, value: Object, around: Scopes) -> Object | None:
        """Put the names of a record back; None for another object. The event and the timestamp may stand around it."""
        record = {key: inner for key, inner in value.items() if key not in _METADATA}
        for field, key in self._names.items():
            for scope in (value, *around):
                if key in scope:
                    record.pop(key, None)
                    record[field] = scope[key]
                    break
        if _ID not in record:
            record = _without_prefix(record)
        scopes = (record, *around)
        if not _is_event(record.get("event")):
            _move(record, "event", next(((key, scope) for scope in scopes for key in scope if _is_event(scope[key])), None))
        if parse_moment(record.get("timestamp")) is None:
            named = ((key, scope) for scope in scopes for key in ("timestamp", *TIMES) if parse_moment(scope.get(key)))
            _move(record, "timestamp", next(named, None))
        known = frozenset(name for name in _NEEDED if name in record)
        if len(known - {"timestamp"}) > len(self._nearest - {"timestamp"}):
            self._nearest = known
        return record if is_ours(record) and _ID in record else None


def _move(record: Object, field: str, found: tuple[str, Object] | None) -> None:
    """Give a field the value that stands under another key, or in an object around."""
    if found is not None:
        key, scope = found
        value = scope[key]
        if scope is record:
            del record[key]
        record[field] = value


def _is_event(value: object) -> bool:
    return isinstance(value, str) and value in EVENTS


def _without_prefix(record: Object) -> Object:
    """Cut off the text that a shipper puts before each name, such as ``app.`` in ``app.connection_id``."""
    prefix = next((key[: -len(_ID)] for key in record if key.endswith(_ID)), "")
    own_last = sorted(record.items(), key=lambda item: item[0].startswith(prefix))
    return {key.removeprefix(prefix): value for key, value in own_last}


def _decoded(text: bytes) -> object:
    """Decode the JSON with which a text begins."""
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(text)
    with suppress(ValueError, RecursionError):
        return decode_first(text[:_LONGEST].decode())[0]  # another text follows
    return None


def _stamp(text: bytes) -> str | None:
    """Find the time that a text tells."""
    found = _STAMP.search(text[:_LONGEST].decode(errors="replace"))
    return None if found is None else found[0].replace(",", ".")


def _pairs(text: str) -> Object:
    """Read pairs of keys and values, as logfmt and renderers for people write them."""
    record = {key: _value(value) for key, value in _PAIR.findall(text)}
    rest = _PAIR.sub(" ", text)
    event = _EVENT.search(rest)
    if event is not None:
        record.setdefault("event", event[0])
    record.setdefault("timestamp", _stamp(rest.encode()))
    return record | {word: True for word in rest.split() if word in _FLAGS}


def _value(text: str) -> Any:
    """Read the value of a pair. A number stays a text: the type of its field tells what it is."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text[:1] not in ("'", "{"):
        return text
    with suppress(ValueError):
        return msgspec.json.decode(text)
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        return literal_eval(text)
    return text
