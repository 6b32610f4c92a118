"""What all tests share: no logging is left behind, and the fixture behind `support.eras`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
import structlog

from realtime_fsm.testing.eras import ERAS, EraName
from support.network import Network


@pytest.fixture(autouse=True)
def _no_logging_is_left_behind() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_era" in metafunc.fixturenames:
        said = metafunc.definition.get_closest_marker("eras")
        metafunc.parametrize("server_era", ERAS if said is None else said.args, indirect=True)


@pytest.fixture
def server_era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EraName:
    """The era of the test's server; every `Network` that says nothing else is of it."""
    monkeypatch.setattr(Network, "era", request.param)
    return cast(EraName, request.param)
