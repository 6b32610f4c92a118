"""The refusals of a server: whether one item is to blame, or the server refuses everything."""

from __future__ import annotations

from realtime_fsm.fsm.refusals import Refusals


def test_two_refused_groups_without_a_common_item_mean_that_the_server_refuses_everything() -> None:
    refusals = Refusals()
    assert not refusals.refuse(["a", "b"], ["a", "b", "c"])
    assert not refusals.everything
    assert not refusals.refuse(["b"], ["a", "b", "c"])
    assert not refusals.everything, "the groups share an item"
    assert not refusals.refuse(["c"], ["a", "b", "c"])
    assert refusals.everything, "two groups without a common item"
    assert refusals.accept()
    assert (refusals.accepted, refusals.everything) == (True, False)
    assert not refusals.accept(), "it refused everything no more"
    assert refusals.refuse(["a"], ["a", "c"]), "the link has accepted another one, so this one is to blame"
    refusals.begin_link()
    assert not refusals.refuse(["b"], ["a", "b"])
    assert not refusals.everything, "an acceptance came between the two"
    assert not refusals.refuse([], ["a"])
    assert not refusals.everything, "the user wants no item of it any more"
    assert not refusals.refuse(["a"], ["a"])
    assert refusals.everything, "the only one"
