"""Ready-made `catch_up=` callables over the official `appwrite` SDK (extra ``appwrite``).

::

    from appwrite.services.tables_db import TablesDB
    from realtime_fsm.catch_up import rows

    orders = await realtime.subscribe("databases.main.tables.orders.rows", catch_up=rows(TablesDB(client), "main", "orders"))

After an outage the callable lists the rows that changed since `Gap.start`, oldest first. `Gap.start` is the time of the last
event; without an event, the begin of the outage. A deleted row is in no list: **deletions cannot be recovered**. The SDK's calls
block, so they run in a thread.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.options import check_count, validated_strings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.fsm.change import Gap
    from realtime_fsm.runtime.delivery import CatchUp

__all__ = ["documents", "rows"]


class TablesDB(Protocol):
    """``appwrite.services.tables_db.TablesDB``."""

    def list_rows(self, database_id: str, table_id: str, queries: list[str] | None = None) -> Any:
        """List rows."""


class Databases(Protocol):
    """``appwrite.services.databases.Databases``."""

    def list_documents(self, database_id: str, collection_id: str, queries: list[str] | None = None) -> Any:
        """List documents."""


def rows(service: TablesDB, database_id: str, table_id: str, *, queries: Iterable[str] = (), page: int = 100) -> CatchUp:
    """Catch up with the rows of a table.

    Args:
        service: the SDK's service, with an identity that may list the rows.
        database_id: the id of the database.
        table_id: the id of the table.
        queries: further conditions: the strings that the subscription has as ``queries=``.
        page: the number of rows in a request.

    Returns:
        A callable for the ``catch_up=`` of `Realtime.subscribe`. It raises the exceptions of the SDK. Each counts as a failure of
        the subscription, and live events go on.

    Raises:
        BadOption: for a service without that call, an id that is not a string, queries that are not a list of strings, or a page
            below 1.
    """
    return _make_catch_up(service, "rows", {"database_id": database_id, "table_id": table_id}, queries, page)


def documents(
    service: Databases, database_id: str, collection_id: str, *, queries: Iterable[str] = (), page: int = 100
) -> CatchUp:
    """Catch up with the documents of a collection, from a server without tables (Appwrite 1.7 and before); as `rows` for a table.

    Newer servers list the documents of a collection as the rows of a table, and the SDK calls ``list_documents`` deprecated.
    """
    return _make_catch_up(service, "documents", {"database_id": database_id, "collection_id": collection_id}, queries, page)


def _make_catch_up(service: object, kind: str, ids: dict[str, str], queries: Iterable[str], page: int) -> CatchUp:
    list_items = getattr(service, f"list_{kind}", None)
    if not callable(list_items):
        raise BadOption("service", f"{type(service).__name__} has no list_{kind}(); give a service of the official SDK")
    for name, value in ids.items():
        if not isinstance(value, str) or not value:
            raise BadOption(name, f"{value!r:.40} is not a non-empty string; give an id")
    check_count("page", page)  # with 0 the pages would never end
    conditions = validated_strings("queries", queries, least=0)

    def list_since(moment: str) -> list[dict[str, Any]]:
        base = [
            *conditions,
            _query("greaterThan", "$updatedAt", moment),
            _query("orderAsc", "$updatedAt"),
            _query("limit", None, page),
        ]
        found: list[dict[str, Any]] = []
        while True:
            cursor = [_query("cursorAfter", None, found[-1]["$id"])] if found else []
            answer = list_items(*ids.values(), base + cursor)
            items = (answer if isinstance(answer, dict) else answer.to_dict())[kind]
            found += map(_merge_data_columns, items)
            if len(items) < page:
                return found

    async def catch_up(gap: Gap) -> list[dict[str, Any]]:
        return await asyncio.to_thread(list_since, gap.start.isoformat(timespec="milliseconds"))

    return catch_up


def _query(method: str, attribute: str | None, *values: object) -> str:
    query: dict[str, object] = {"method": method}
    if attribute is not None:
        query["attribute"] = attribute
    if values:
        query["values"] = values
    return json.dumps(query)


def _merge_data_columns(item: dict[str, Any]) -> dict[str, Any]:
    """Shape an item like an event's payload: the SDK's models keep the columns of a row apart, under ``data``."""
    own = item.get("data")
    return {**{key: value for key, value in item.items() if key != "data"}, **own} if isinstance(own, dict) else item
