"""Run the checks of an examination in their order."""

from __future__ import annotations

import asyncio
import ssl as tls
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption, DialFailed
from realtime_fsm.ops.doctor.link import LinkExaminer
from realtime_fsm.ops.doctor.observed import MOST_CHANNELS, MOST_PINGS, ObservedRealtime
from realtime_fsm.ops.doctor.path import Path, examine_path
from realtime_fsm.ops.doctor.report import ORDER, Checks, ExaminationEnded
from realtime_fsm.protocol.options import check_seconds, realtime_url
from realtime_fsm.protocol.spec import subscription_spec
from realtime_fsm.runtime.proxies import proxy_from_env
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.ops.doctor.report import Check, Report

_QUICK, _PATIENT = 1.0, 2.5
"""Seconds between pings, and for the answer to each: a server without its Redis takes 2 s (PROTOCOL: "Messages", rule 10)."""


@sealed
async def examine(
    endpoint: str,
    project: str,
    *channels: str,
    pings: int = 3,
    echo: bool = False,
    idle: float | None = None,
    on_check: Callable[[Check], object] | None = None,
    **options: Any,
) -> Report:
    """Check each step of the way to a server, and name the most probable cause of missing events.

    A failed step ends the examination. By default the examination takes a few seconds, and less than 15 s with a server that does
    not answer.

    Args:
        endpoint: the Appwrite endpoint, such as ``"https://cloud.appwrite.io/v1"``.
        project: the project's id.
        channels: the channels to subscribe to, at most 12.
        pings: the number of pings, from 1 to 12: the first four a second apart, then one every 5 seconds.
        echo: whether to set a presence and await its event, which proves that events arrive. Other users may see the presence
            for a moment.
        idle: the seconds without traffic that the link should survive; None does not test that.
        on_check: called with each check at once.
        options: the arguments of `Realtime` that concern a dial: ``session``, ``jwt``, ``headers``, ``cookies``, ``ssl``,
            ``self_signed``, ``proxy``, ``trust_env``, ``era``.

    Returns:
        The report.

    Raises:
        BadOption: when an argument cannot be used.
    """
    url = realtime_url(endpoint, project)
    check_seconds("idle", idle, none=True)
    if isinstance(pings, bool) or not isinstance(pings, int) or not 1 <= pings <= MOST_PINGS:
        raise BadOption("pings", f"{pings!r:.40} is not a whole number from 1 to {MOST_PINGS}")
    names = subscription_spec("doctor", channels, (), project).channels if channels else ()
    if len(names) > MOST_CHANNELS:
        reason = f"{len(names)} channels are too many for one examination; give at most {MOST_CHANNELS} at a time"
        raise BadOption("channels", reason)
    planned = (*ORDER[: None if names else -1], *(["echo"] if echo else []), *(["idle"] if idle else []), "budget")
    checks = Checks(on_check)
    quick, patient = (ObservedRealtime(endpoint, project, ping, **options) for ping in (_QUICK, _PATIENT))
    async with quick, patient:
        with suppress(ExaminationEnded):
            await examine_path(checks, await _path(checks, url, options))
            has_headers = bool(options.get("headers") or options.get("cookies"))
            link = LinkExaminer(quick, patient, checks, has_headers=has_headers)
            await link.check_connect()
            await link.check_pings(pings)
            link.check_era(names)
            await link.check_subscriptions(names)
            if echo:
                await link.check_echo()
            if idle is not None:
                await link.check_idle(idle)
            link.check_budget()
    return checks.report(endpoint, project, planned)


async def _path(checks: Checks, url: str, options: dict[str, Any]) -> Path:
    context = options.get("ssl") or tls.create_default_context()
    if options.get("self_signed"):
        context.check_hostname, context.verify_mode = False, tls.CERT_NONE
    proxy = options.get("proxy")
    if options.get("trust_env"):
        try:
            proxy = await asyncio.to_thread(proxy_from_env, url)
        except DialFailed as failure:
            checks.end("proxy", failure.reason, "proxy_url")
    return Path(url, proxy, context)
