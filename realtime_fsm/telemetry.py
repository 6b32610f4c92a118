"""Send spans, metrics and events to OpenTelemetry; needs ``pip install "realtime-fsm[otel]"``.

``instrument()`` covers every connection of the process, those that are open included. Without a configured SDK the API of
OpenTelemetry discards everything.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import ExitStack
    from types import TracebackType

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Instrumentation", "RealtimeInstrumentor", "instrument"]

_active: Instrumentation | None = None


class Instrumentation:
    """The instrumentation of this process, from `instrument`. As a context manager it ends with its block."""

    def __init__(self, _hooks: ExitStack | None) -> None:
        self._hooks = _hooks

    def uninstrument(self) -> None:
        """Remove all hooks; the connections go on. A second call is harmless."""
        global _active
        if self._hooks is not None:
            hooks, self._hooks, _active = self._hooks, None, None
            hooks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.uninstrument()


def instrument(
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> Instrumentation:
    """Instrument all connections of this process, present and future.

    A second call while an instrumentation is active changes nothing, and warns with ``RuntimeWarning``.

    Args:
        meter_provider: receives the metrics; None for the global provider.
        tracer_provider: receives a span of each dial and of each call of a handler; None for the global provider.
        logger_provider: receives each record of the audit log as an event; None sends no events.

    Returns:
        The instrumentation, to end it.

    Raises:
        BadOption: when the package ``opentelemetry-api`` is missing.
    """
    global _active
    if _active is not None:
        warnings.warn("realtime_fsm is instrumented already; this call changes nothing", RuntimeWarning, stacklevel=2)
        return Instrumentation(None)
    try:
        from realtime_fsm.ops.telemetry import telemetry
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "opentelemetry":
            raise
        problem = 'it needs the package opentelemetry-api; install it with: pip install "realtime-fsm[otel]"'
        raise BadOption("instrument", problem) from None
    _active = Instrumentation(telemetry(meter_provider, tracer_provider, logger_provider))
    return _active


class RealtimeInstrumentor:
    """The entry point for ``opentelemetry-instrument``, with the methods of OpenTelemetry's ``BaseInstrumentor``.

    The class does not inherit from ``BaseInstrumentor``, so it needs no package but ``opentelemetry-api``.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name the package that is instrumented."""
        return ("realtime-fsm",)

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether an instrumentation is active."""
        return _active is not None

    def instrument(self, **options: Any) -> None:
        """Call `instrument` with the providers among the options; other options of OpenTelemetry have no effect."""
        names = ("meter_provider", "tracer_provider", "logger_provider")
        instrument(**{name: options[name] for name in names if name in options})

    def uninstrument(self, **_: Any) -> None:
        """End the active instrumentation."""
        if _active is not None:
            _active.uninstrument()
