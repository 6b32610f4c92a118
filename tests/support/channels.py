"""Every channel of the protocol: the builder, the text, the actions that it takes."""

from __future__ import annotations

from realtime_fsm import Channel

ROWS = Channel.tablesdb("main").table("orders")
ACTIONS = ("create", "update", "delete")


SPELLED: list[tuple[str, str, tuple[str, ...]]] = [
    # what is called, what the protocol says, the actions that it takes
    (Channel.account(), "account", (*ACTIONS, "upsert")),
    (Channel.documents(), "documents", (*ACTIONS, "upsert")),
    (Channel.rows(), "rows", (*ACTIONS, "upsert")),
    (Channel.files(), "files", ACTIONS),
    (Channel.executions(), "executions", ACTIONS),
    (Channel.execution("e1"), "executions.e1", ACTIONS),
    (Channel.function("f1"), "functions.f1", ACTIONS),
    (Channel.reports(), "reports", ()),
    (Channel.report("r1"), "reports.r1", ()),
    (Channel.report("r1").insight(), "reports.r1.insights", ()),
    (Channel.report("r1").insight("i1"), "reports.r1.insights.i1", ()),
    (Channel.console(), "console", ()),
    (Channel.project(), "project", ()),
    (Channel.project("p1"), "projects.p1", ()),
    (Channel.console_tail("p1"), "console.tail.p1", ()),
    (Channel.teams(), "teams", ACTIONS),
    (Channel.team("t1"), "teams.t1", ACTIONS),
    (Channel.memberships(), "memberships", ACTIONS),
    (Channel.membership("m1"), "memberships.m1", ACTIONS),
    (Channel.presences(), "presences", (*ACTIONS, "upsert")),
    (Channel.presence("p1"), "presences.p1", (*ACTIONS, "upsert")),
    (Channel.database("d").collection("c").document(), "databases.d.collections.c.documents", (*ACTIONS, "upsert")),
    (Channel.database("d").collection("c").document("1"), "databases.d.collections.c.documents.1", (*ACTIONS, "upsert")),
    (Channel.database("d").table("t").row(), "databases.d.tables.t.rows", (*ACTIONS, "upsert")),
    (Channel.database("d").table("t").row("1"), "databases.d.tables.t.rows.1", (*ACTIONS, "upsert")),
    (ROWS.row(), "tablesdb.main.tables.orders.rows", (*ACTIONS, "upsert")),
    (ROWS.row("4-2_b"), "tablesdb.main.tables.orders.rows.4-2_b", (*ACTIONS, "upsert")),
    (Channel.documentsdb("d").collection("c").document("1"), "documentsdb.d.collections.c.documents.1", (*ACTIONS, "upsert")),
    (Channel.vectorsdb("d").collection("c").document(), "vectorsdb.d.collections.c.documents", (*ACTIONS, "upsert")),
    (Channel.bucket("b").file(), "buckets.b.files", ACTIONS),
    (Channel.bucket("b").file("f"), "buckets.b.files.f", ACTIONS),
]
