"""The eras: the features of a server, the subscriptions in a URL, and the routes of events."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.eras import Era, UrlPlan, acknowledged_channels, parse_era, url_plan
from realtime_fsm.protocol.spec import SubscriptionSpec

IS_X = '{"method":"equal","attribute":"title","values":["x"]}'
ABOVE_3 = '{"method":"greaterThan","attribute":"n","values":[3]}'
EVERYTHING = '{"method":"select","values":["*"]}'


def items(given: UrlPlan) -> list[tuple[str, str]]:
    return parse_qsl(given.query, keep_blank_values=True)


# --- what a server speaks -----------------------------------------------------------------------------------------------


def test_an_era_has_its_releases_and_features() -> None:
    assert [one.subscribes_in_url for one in Era] == [True, True, True, False]
    assert [one.supports("queries") for one in Era] == [False, False, True, True]
    assert [one.supports("presence") for one in Era] == [one.supports("update") for one in Era] == [False, False, False, True]
    assert all("1." in one.releases for one in Era)


def test_an_era_is_parsed_from_itself_or_its_name() -> None:
    assert parse_era("E2") is parse_era(Era.E2) is Era.E2


@pytest.mark.parametrize("wrong", ["E5", "e2", 2, None])
def test_an_unknown_era_is_refused_with_a_list_of_eras(wrong: object) -> None:
    with pytest.raises(BadOption, match="E1, E2, E3, E4") as caught:
        parse_era(wrong)
    assert caught.value.option == "era"


# --- into the URL -----------------------------------------------------------------------------------------------------


def test_each_channel_is_in_the_url_once_in_order() -> None:
    made = url_plan([SubscriptionSpec("s1", ("rows", "files")), SubscriptionSpec("s2", ("teams", "rows"))])
    assert items(made) == [("channels[]", "rows"), ("channels[]", "files"), ("channels[]", "teams")]
    assert made.plain == {"rows": ("s1", "s2"), "files": ("s1",), "teams": ("s2",)}


def test_no_subscription_makes_an_empty_channel() -> None:
    assert items(url_plan([])) == [("channels[]", "")]


def test_an_empty_channel_joins_channels_that_the_server_may_drop() -> None:
    assert items(url_plan([SubscriptionSpec("s1", ("account.bob",))])) == [("channels[]", "account.bob"), ("channels[]", "")]
    assert items(url_plan([SubscriptionSpec("s1", ("account.bob", "account"))])) == [
        ("channels[]", "account.bob"),
        ("channels[]", "account"),
    ]


def test_a_channel_is_quoted_in_the_url() -> None:
    made = url_plan([SubscriptionSpec("s1", ("a&b=c", "✓", "a b"))])
    assert items(made) == [("channels[]", "a&b=c"), ("channels[]", "✓"), ("channels[]", "a b")]
    assert made.query.isascii()
    assert " " not in made.query


def test_each_filtered_subscription_has_its_own_slot() -> None:
    made = url_plan(
        [
            SubscriptionSpec("s1", ("a.b",), (IS_X, ABOVE_3)),
            SubscriptionSpec("s2", ("rows",), (IS_X,)),
            SubscriptionSpec("s3", ("files",)),
        ]
    )
    assert items(made) == [
        ("channels[]", "a.b"), ("channels[]", "rows"), ("channels[]", "files"),
        ("a_b[1][]", IS_X), ("a_b[1][]", ABOVE_3), ("rows[2][]", IS_X),
    ]  # fmt: skip
    assert made.filtered == {1: "s1", 2: "s2"}


def test_a_channel_with_and_without_queries() -> None:
    made = url_plan([SubscriptionSpec("s1", ("rows",), (IS_X,)), SubscriptionSpec("s2", ("rows", "files"))])
    assert items(made)[2:] == [("rows[1][]", IS_X), ("rows[0][]", EVERYTHING)]


# --- and back ---------------------------------------------------------------------------------------------------------------


def test_without_ids_events_are_routed_by_channel() -> None:
    routes = url_plan(
        [SubscriptionSpec("s1", ("rows", "files")), SubscriptionSpec("s2", ("rows",)), SubscriptionSpec("s3", ("teams",))]
    ).routes({}, ())
    assert routes.match((), ("rows", "files", "databases.d.tables.t.rows")) == ("s1", "s2")
    assert routes.match((), ("buckets",)) == ()


def test_with_ids_events_are_routed_by_slot() -> None:
    made = url_plan(
        [SubscriptionSpec("s1", ("rows",), (IS_X,)), SubscriptionSpec("s2", ("rows",)), SubscriptionSpec("s3", ("files",))]
    )
    routes = made.routes({0: "common", 1: "mine"}, ())
    assert routes.match(("mine",), ("rows",)) == ("s1",)
    assert routes.match(("common",), ("rows",)) == ("s2",)
    assert routes.match(("common", "mine"), ("rows", "files")) == ("s1", "s2", "s3")
    assert routes.match(("another client's",), ("rows",)) == ()


def test_a_slot_without_an_id_gets_no_events() -> None:
    assert url_plan([SubscriptionSpec("s1", ("rows",), (IS_X,))]).routes({0: "common"}, ()).match(("common",), ("rows",)) == ()


def test_an_event_of_the_users_account() -> None:
    made = url_plan(
        [SubscriptionSpec("s1", ("account",)), SubscriptionSpec("s2", ("account.alice",)), SubscriptionSpec("s3", ("rows",))]
    )
    routes = made.routes({}, ("account", "rows", "account.alice"))
    assert routes.match((), ("account.alice",)) == ("s2", "s1")
    assert routes.match((), ("account", "account.alice")) == ("s1", "s2")
    assert url_plan([SubscriptionSpec("s3", ("rows",))]).routes({}, ("account.alice",)).match((), ("account.alice",)) == ()
    acting = url_plan([SubscriptionSpec("s1", ("account",)), SubscriptionSpec("s2", ("account.update",))]).routes(
        {}, ("account.alice", "account.alice.update")
    )
    assert acting.match((), ("account.alice.update",)) == ("s2",)


def test_acknowledged_channels_of_a_greeting() -> None:
    greeting = ("rows", "account", "files", "account.alice", "account.alice.update")
    assert acknowledged_channels(SubscriptionSpec("s1", ("files", "account", "account.bob")), greeting) == (
        "account",
        "files",
        "account.alice",
    )
    assert acknowledged_channels(SubscriptionSpec("s2", ("rows", "teams")), greeting) == ("rows",)
