"""OpenTelemetry as programs switch it on: by a call, by ``opentelemetry-instrument``, and without its packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from realtime_fsm.telemetry import RealtimeInstrumentor, instrument
from support.opentelemetry import Telemetry

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMAND = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
PROGRAM = """
import asyncio
from realtime_fsm import Realtime
from realtime_fsm.testing import RealtimeServer

async def main():
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime:
        done = asyncio.Event()
        await realtime.on("rows", lambda event: done.set())
        server.publish("rows.1.create", "rows", {})
        await done.wait()

asyncio.run(main())
"""


def run(code: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [*command, sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False)


def loaded() -> type[RealtimeInstrumentor]:
    """Load the class by the entry point, as a distribution of OpenTelemetry does."""
    points = PROJECT["entry-points"]["opentelemetry_instrumentor"]
    found = [EntryPoint(name, value, "opentelemetry_instrumentor").load() for name, value in points.items()]
    (kind,) = found
    assert isinstance(kind, type)
    assert issubclass(kind, RealtimeInstrumentor)
    return kind


def test_the_entry_point_switches_on_and_off() -> None:
    telemetry, kind = Telemetry(), loaded()
    assert kind().instrumentation_dependencies() == ("realtime-fsm",)
    kind().instrument(skip_dep_check=True, meter_provider=telemetry.meters)
    try:
        assert kind().is_instrumented_by_opentelemetry, "each object of the class knows"
        assert telemetry.total("realtime_fsm.outages") == 0
        with pytest.warns(RuntimeWarning, match="instrumented already"):
            kind().instrument()
    finally:
        kind().uninstrument()
    assert not kind().is_instrumented_by_opentelemetry
    kind().uninstrument()
    assert telemetry.values("messaging.client.consumed.messages") == {}


def test_a_second_call_warns_at_its_own_line() -> None:
    with instrument():
        with pytest.warns(RuntimeWarning, match="instrumented already") as caught:
            instrument()
        assert RealtimeInstrumentor().is_instrumented_by_opentelemetry
    assert [warning.filename for warning in caught] == [__file__]
    assert not RealtimeInstrumentor().is_instrumented_by_opentelemetry


@pytest.mark.parametrize("signal", ["meter_provider", "tracer_provider", "logger_provider"])
def test_the_entry_point_passes_each_provider_on(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr("realtime_fsm.telemetry.instrument", lambda **providers: given.append(providers))
    provider = object()
    loaded()().instrument(skip_dep_check=True, **{signal: provider})
    assert given == [{signal: provider}]


@pytest.mark.skipif(COMMAND is None, reason="the package opentelemetry-instrumentation is not installed")
def test_opentelemetry_instrument_instruments_a_program_that_knows_nothing_of_it() -> None:
    assert COMMAND is not None
    exporters = {f"OTEL_{signal}_EXPORTER": "console" for signal in ("TRACES", "METRICS")} | {"OTEL_LOGS_EXPORTER": "none"}
    done = run(PROGRAM, COMMAND, "--service_name", "worker", **exporters)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ('"name": "dial"', '"name": "process"', "messaging.client.consumed.messages", '"service.name": "worker"'):
        assert name in done.stdout, name


def test_without_a_configured_sdk_nothing_happens() -> None:
    done = run(f"from realtime_fsm.telemetry import instrument\ninstrument()\n{PROGRAM}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_global_providers_may_come_after_the_call() -> None:
    code = (
        "from realtime_fsm.telemetry import instrument; from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider; from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "with instrument(): pass\n"
        "reader = InMemoryMetricReader(); metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))\n"
        "with instrument(): names = reader.get_metrics_data().to_json()\n"
        "print(names)"
    )
    data = json.loads(run(code).stdout)
    (scope,) = data["resource_metrics"][0]["scope_metrics"]
    assert scope["scope"]["name"] == "realtime_fsm"
    assert {"realtime_fsm.connection.count", "realtime_fsm.outages"} <= {metric["name"] for metric in scope["metrics"]}


def test_without_the_package_the_error_names_the_extra() -> None:
    code = (
        "import sys\nfor name in ('opentelemetry', 'opentelemetry.context'): sys.modules[name] = None\n"
        "from realtime_fsm.telemetry import instrument\n"
        "try:\n    instrument()\nexcept ValueError as error:\n    print(type(error).__name__, error)"
    )
    assert run(code).stdout == (
        'BadOption instrument: it needs the package opentelemetry-api; install it with: pip install "realtime-fsm[otel]"\n'
    )
    other = run(code.replace("'opentelemetry', 'opentelemetry.context'", "'realtime_fsm.ops.telemetry_names',"))
    assert "ModuleNotFoundError" in other.stderr, "the message about the extra hides no other missing module"


def test_the_module_needs_no_package_and_loads_none() -> None:
    done = run("import sys, realtime_fsm.telemetry; print(*sys.modules)")
    names = set(done.stdout.split())
    assert "realtime_fsm.telemetry" in names
    assert [name for name in names if name.startswith(("opentelemetry", "aiohttp"))] == []
