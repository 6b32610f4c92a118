"""The ready-made `catch_up=` callables: the official SDK against a small HTTP server that lists rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from appwrite.client import Client
from appwrite.query import Query
from appwrite.services.databases import Databases
from appwrite.services.tables_db import TablesDB

from realtime_fsm import BadOption, Gap
from realtime_fsm.catch_up import documents, rows

SINCE = datetime(2026, 11, 24, 10, tzinfo=UTC)
UNTIL = datetime(2026, 11, 24, 11, tzinfo=UTC)


@contextmanager
def listing(key: str, count: int) -> Iterator[tuple[Client, list[tuple[str, list[dict[str, Any]]]]]]:
    """Serve one list call of Appwrite, with pages by `limit` and `cursorAfter`."""
    asked: list[tuple[str, list[dict[str, Any]]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            queries = [
                json.loads(text)
                for name, values in parse_qs(parts.query).items()
                if name.startswith("queries")
                for text in values
            ]
            asked.append((parts.path, queries))
            arguments = {query["method"]: query.get("values", [None])[0] for query in queries}
            begin = int(arguments.get("cursorAfter", "row-1")[3:]) + 1
            common = {"$sequence": "1", "$tableId": "t", "$databaseId": "d", "$createdAt": "x", "$permissions": []}
            items = [
                {"$id": f"row{number}", "$updatedAt": f"2026-{number}", "title": f"number {number}", **common}
                for number in range(begin, min(count, begin + arguments["limit"]))
            ]
            body = json.dumps({"total": count, key: items}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Client().set_endpoint(f"http://127.0.0.1:{server.server_port}/v1").set_project("p"), asked
        finally:
            server.shutdown()
            thread.join()


def caught_up(catch_up: Any, since: datetime | None = SINCE) -> list[dict[str, Any]]:
    return list(asyncio.run(catch_up(Gap(since, UNTIL, 60.0, 1))))


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (5, 1), (10, 2), (23, 3)])
def test_rows_are_listed_in_order_page_by_page(count: int, pages: int) -> None:
    with listing("rows", count) as (client, asked):
        found = caught_up(rows(TablesDB(client), "main", "orders", queries=[Query.equal("title", ["x"])], page=10))
    assert [row["$id"] for row in found] == [f"row{number}" for number in range(count)]
    assert all(row["title"] == f"number {number}" for number, row in enumerate(found))
    assert all(row["$updatedAt"] == f"2026-{number}" for number, row in enumerate(found))
    assert len(asked) == pages
    path, queries = asked[0]
    assert path == "/v1/tablesdb/main/tables/orders/rows"
    assert queries == [
        {"method": "equal", "attribute": "title", "values": ["x"]},
        {"method": "greaterThan", "attribute": "$updatedAt", "values": ["2026-11-24T10:00:00.000+00:00"]},
        {"method": "orderAsc", "attribute": "$updatedAt"},
        {"method": "limit", "values": [10]},
    ]


def test_a_gap_has_a_start_before_any_event_too() -> None:
    assert Gap(SINCE, UNTIL, 60.0, 1).start == SINCE
    assert Gap(None, UNTIL, 60.0, 1).start == UNTIL - timedelta(seconds=60)


def test_without_an_event_documents_are_listed_from_the_loss() -> None:
    with listing("documents", 2) as (client, asked):
        found = caught_up(documents(Databases(client), "main", "orders"), since=None)
    assert [document["title"] for document in found] == ["number 0", "number 1"]
    path, queries = asked[0]
    assert path == "/v1/databases/main/collections/orders/documents"
    assert queries[0]["values"] == ["2026-11-24T10:59:00.000+00:00"]


@pytest.mark.parametrize(("make", "service", "key"), [(rows, TablesDB, "rows"), (documents, Databases, "documents")])
def test_a_page_has_a_hundred_items(make: Any, service: Any, key: str) -> None:
    with listing(key, 0) as (client, asked):
        assert caught_up(make(service(client), "main", "orders")) == []
    (_, queries) = asked[0]
    assert queries[-1] == {"method": "limit", "values": [100]}


def test_older_sdks_answer_with_dictionaries() -> None:
    class Older:
        def list_rows(self, database_id: str, table_id: str, queries: list[str] | None = None) -> Any:
            return {"total": 1, "rows": [{"$id": "row0", "title": "x"}]}

    assert caught_up(rows(Older(), "main", "orders")) == [{"$id": "row0", "title": "x"}]


def test_a_page_may_have_one_row() -> None:
    with listing("rows", 2) as (client, asked):
        assert [row["$id"] for row in caught_up(rows(TablesDB(client), "main", "orders", page=1))] == ["row0", "row1"]
    assert len(asked) == 3, "a full page may be the last one, and only the next one tells"


@pytest.mark.parametrize(
    ("arguments", "more", "sentence"),
    [
        ((5, "main", "orders"), {}, r"service: int has no list_\w+\(\)"),
        ((None, "", "orders"), {}, "database_id: '' is not a non-empty string"),
        ((None, "main", 5), {}, r"(table|collection)_id: 5 is not a non-empty string"),
        ((None, "main", "orders"), {"page": 0}, "page: 0 is not a whole number above 0"),
        ((None, "main", "orders"), {"queries": "a query"}, "queries: a single string; give a list of strings"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(arguments: tuple[Any, Any, Any], more: dict[str, Any], sentence: str) -> None:
    service, *ids = arguments
    with pytest.raises(BadOption, match=sentence):
        rows(service or TablesDB(Client()), *ids, **more)
    with pytest.raises(BadOption, match=sentence):
        documents(service or Databases(Client()), *ids, **more)
