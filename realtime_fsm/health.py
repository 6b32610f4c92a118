"""Health for orchestrators: ``async with serve(realtime, port=8080)`` answers the probes of Kubernetes."""

from realtime_fsm.client.health import Health
from realtime_fsm.ops.health import serve

__all__ = ["Health", "serve"]
