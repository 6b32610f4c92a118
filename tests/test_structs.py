"""The structures of the package are immutable values; those that change, and those of the hot path, are few and known."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import msgspec

import realtime_fsm

CHANGING = {
    "Fault",
    "Event",  # decodes each part at the first access
    "_TypedEvent",
    "FlatRecord",  # the audit restores what shippers have changed
    "FastLine",
    "Outage",
    "_Deafness",
    "_Handle",
    "_Head",
    "View",  # the inspector updates what it shows
    "SubscriptionView",
    "Step",
    "StepFacts",
    "LinkState",
    "Cause",
}
COLLECTED_BY_COUNT_ALONE = {"Event", "EventFrame", "_Version", "FlatRecord", "FastLine"}
"""The structures that come by the million, and hold no cycle: the garbage collector leaves them out."""
COMPARED_BY_IDENTITY = {"Event", "Fault", "LinkState", "_TypedEvent", "Outage", "_Handle"}


def structures(kind: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    """Yield the structures of the modules that no extra needs."""
    for each in kind.__subclasses__():
        if each.__module__.startswith("realtime_fsm."):
            yield each
        yield from structures(each)


for module in pkgutil.walk_packages(realtime_fsm.__path__, "realtime_fsm."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError:  # an extra is missing
        continue
CONFIGS = {each.__name__: each.__struct_config__ for each in structures()}


def test_each_value_is_immutable() -> None:
    assert {name for name, config in CONFIGS.items() if not config.frozen} == CHANGING


def test_the_garbage_collector_leaves_out_the_structures_of_the_hot_path() -> None:
    assert {name for name, config in CONFIGS.items() if not config.gc} == COLLECTED_BY_COUNT_ALONE


def test_values_are_equal_by_content_but_for_those_with_an_identity() -> None:
    assert {name for name, config in CONFIGS.items() if not config.eq} == COMPARED_BY_IDENTITY
