"""Spell channels by calls: ``Channel.tablesdb("main").table("orders").row().create()``.

Design: a channel is a string, and a prefix of channels is not. Each class has only the calls that lead to a channel, so Python
and a type checker refuse every other call. The same calls of the official JavaScript SDK give the same strings. The protocol
gives the strings of the calls that this SDK lacks (PROTOCOL: "Channels").

A dot in an id would split the path, and an id such as ``create`` would select an action. Each call refuses such an id, because
the subscription would silently listen to another channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, final

from realtime_fsm.errors import BadOption

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,35}")
ACTIONS = ("create", "update", "upsert", "delete")


class FinalChannel(str):
    """A channel that takes no further action; a plain string."""

    __slots__ = ()


class ActionChannel(FinalChannel):
    """A channel that can be narrowed to one action. Servers before 1.9.5 publish nothing there."""

    def create(self) -> FinalChannel:
        """Narrow to creations."""
        return FinalChannel(f"{self}.create")

    def update(self) -> FinalChannel:
        """Narrow to updates."""
        return FinalChannel(f"{self}.update")

    def delete(self) -> FinalChannel:
        """Narrow to deletions."""
        return FinalChannel(f"{self}.delete")


class UpsertChannel(ActionChannel):
    """A channel that can be narrowed to one action, including upserts."""

    def upsert(self) -> FinalChannel:
        """Narrow to upserts."""
        return FinalChannel(f"{self}.upsert")


class Report(FinalChannel):
    """A report, and the prefix of its insights."""

    def insight(self, insight_id: str | None = None) -> FinalChannel:
        """Name one insight of the report; without an id, all its insights."""
        return FinalChannel(_all_or_one(f"{self}.insights", "insight_id", insight_id))


@dataclass(frozen=True, repr=False)
class ChannelPrefix:
    """A prefix of channels. No server publishes on a prefix, so `subscribe` refuses it.

    Attributes:
        path: the path so far.
    """

    path: str
    next_call: ClassVar[str]

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<{self.path}: no channel before {self.next_call}>"


class Collection(ChannelPrefix):
    """A collection of documents."""

    next_call = ".document()"

    def document(self, document_id: str | None = None) -> UpsertChannel:
        """Name one document; without an id, all documents of the collection."""
        return UpsertChannel(_all_or_one(f"{self}.documents", "document_id", document_id))


class Table(ChannelPrefix):
    """A table of rows."""

    next_call = ".row()"

    def row(self, row_id: str | None = None) -> UpsertChannel:
        """Name one row; without an id, all rows of the table."""
        return UpsertChannel(_all_or_one(f"{self}.rows", "row_id", row_id))


class Collections(ChannelPrefix):
    """A database of collections."""

    next_call = ".collection(...).document()"

    def collection(self, collection_id: str) -> Collection:
        """Go on to one collection."""
        return Collection(_with_id(f"{self}.collections", "collection_id", collection_id))


class Tables(ChannelPrefix):
    """A database of tables."""

    next_call = ".table(...).row()"

    def table(self, table_id: str) -> Table:
        """Go on to one table."""
        return Table(_with_id(f"{self}.tables", "table_id", table_id))


class Database(Collections, Tables):
    """A database under the older name ``databases``, where collections and tables are the same."""


class Bucket(ChannelPrefix):
    """A bucket of files."""

    next_call = ".file()"

    def file(self, file_id: str | None = None) -> ActionChannel:
        """Name one file; without an id, all files of the bucket."""
        return ActionChannel(_all_or_one(f"{self}.files", "file_id", file_id))


@final
class Channel:
    """Spell the channels of Appwrite. Each call returns a channel, or a prefix with further calls.

    ::

        Channel.account()
        Channel.rows().create()
        Channel.tablesdb("main").table("orders").row("42").update()
        Channel.bucket("avatars").file()

    Raises:
        BadOption: from any call, for an id that is not 1 to 36 characters of ``a-z A-Z 0-9 _ -`` with a letter or digit first.
            Where a channel takes an action, also for an id that is the name of an action.
    """

    @staticmethod
    def account() -> UpsertChannel:
        """Name the account of the connected user, which the server also calls ``account.{user}``."""
        return UpsertChannel("account")

    @staticmethod
    def documents() -> UpsertChannel:
        """Name all documents."""
        return UpsertChannel("documents")

    @staticmethod
    def rows() -> UpsertChannel:
        """Name all rows."""
        return UpsertChannel("rows")

    @staticmethod
    def files() -> ActionChannel:
        """Name all files."""
        return ActionChannel("files")

    @staticmethod
    def executions() -> ActionChannel:
        """Name all executions of functions."""
        return ActionChannel("executions")

    @staticmethod
    def execution(execution_id: str) -> ActionChannel:
        """Name one execution of a function."""
        return ActionChannel(_last("executions", "execution_id", execution_id))

    @staticmethod
    def function(function_id: str) -> ActionChannel:
        """Name all executions of one function."""
        return ActionChannel(_last("functions", "function_id", function_id))

    @staticmethod
    def teams() -> ActionChannel:
        """Name all teams."""
        return ActionChannel("teams")

    @staticmethod
    def team(team_id: str) -> ActionChannel:
        """Name one team."""
        return ActionChannel(_last("teams", "team_id", team_id))

    @staticmethod
    def memberships() -> ActionChannel:
        """Name all memberships of teams."""
        return ActionChannel("memberships")

    @staticmethod
    def membership(membership_id: str) -> ActionChannel:
        """Name one membership of a team."""
        return ActionChannel(_last("memberships", "membership_id", membership_id))

    @staticmethod
    def presences() -> UpsertChannel:
        """Name all presences."""
        return UpsertChannel("presences")

    @staticmethod
    def presence(presence_id: str) -> UpsertChannel:
        """Name one presence."""
        return UpsertChannel(_last("presences", "presence_id", presence_id))

    @staticmethod
    def reports() -> FinalChannel:
        """Name all reports."""
        return FinalChannel("reports")

    @staticmethod
    def report(report_id: str) -> Report:
        """Name one report, or go on to its insights."""
        return Report(_last("reports", "report_id", report_id))

    @staticmethod
    def console() -> FinalChannel:
        """Name the console's own channel. Project ``console`` alone has it."""
        return FinalChannel("console")

    @staticmethod
    def project(project_id: str | None = None) -> FinalChannel:
        """Name one project; without an id, the statistics of projects. Project ``console`` alone has these channels."""
        return FinalChannel("project" if project_id is None else _with_id("projects", "project_id", project_id))

    @staticmethod
    def console_tail(project_id: str) -> FinalChannel:
        """Name the live tail of a project's events, which are lists without a time. Project ``console`` alone has it."""
        return FinalChannel(_with_id("console.tail", "project_id", project_id))

    @staticmethod
    def tablesdb(database_id: str) -> Tables:
        """Go on to a table of a database."""
        return Tables(_with_id("tablesdb", "database_id", database_id))

    @staticmethod
    def database(database_id: str) -> Database:
        """Go on to a collection, or a table, of a database under the older name."""
        return Database(_with_id("databases", "database_id", database_id))

    @staticmethod
    def documentsdb(database_id: str) -> Collections:
        """Go on to a collection of a documents database."""
        return Collections(_with_id("documentsdb", "database_id", database_id))

    @staticmethod
    def vectorsdb(database_id: str) -> Collections:
        """Go on to a collection of a vectors database."""
        return Collections(_with_id("vectorsdb", "database_id", database_id))

    @staticmethod
    def bucket(bucket_id: str) -> Bucket:
        """Go on to a file of a bucket."""
        return Bucket(_with_id("buckets", "bucket_id", bucket_id))


def _with_id(path: str, option: str, value: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        text = repr(value) if isinstance(value, str) else type(value).__name__
        rule = "not 1 to 36 of a-z A-Z 0-9 _ - with a letter or digit first"
        raise BadOption(option, f"{text:.60} is {rule}; if the server has this id, give the channel as a plain string")
    return f"{path}.{value}"


def _last(path: str, option: str, value: str) -> str:
    """Add an id at a place that may also hold an action."""
    if value in ACTIONS:
        raise BadOption(
            option, f"{value!r} is read as an action: {path}.{value} means it for all {path.rpartition('.')[2]}; give another id"
        )
    return _with_id(path, option, value)


def _all_or_one(path: str, option: str, value: str | None) -> str:
    return path if value is None else _last(path, option, value)
