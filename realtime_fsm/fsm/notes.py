"""The notes: each keeps facts of an input in the context, before the machine asks a guard. The table names those of each trigger.

Invariant: notes alone carry the facts of an input into the context. No guard and no effect sees the input itself.

Design: The notes of a trigger run in the order of the table, in every state, even in a cell that is ignored on purpose. A note
may also add commands that no rule decides. A note that *finishes* the step sets `StepFacts.finished`: then no further note
runs, and the machine asks no guard. The generated reference prints the first line of each docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import GreetedAsGuest, IdentityUnavailable, Overdue, ServerError, StreamEnded
from realtime_fsm.fsm import inputs
from realtime_fsm.fsm.commands import AuthenticationRefused, CloseLink, UserIdentified
from realtime_fsm.fsm.control import AUTHENTICATE
from realtime_fsm.fsm.fault import Fault
from realtime_fsm.fsm.link import LastError, LinkState, Phase
from realtime_fsm.fsm.names import Note
from realtime_fsm.fsm.policies import verdict
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import LIVE, TABLE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY, FaultNews, is_server_fault, is_throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.fsm.context import ConnectionContext


def apply_notes(context: ConnectionContext, input_: inputs.Input) -> None:
    """Run the notes that the table names for the trigger of an input."""
    for name in TABLE.notes[input_.trigger]:
        NOTES[name](context, input_)
        if context.step.finished:
            return


# --- the user ---------------------------------------------------------------------------------------------------------


def add_subscription(context: ConnectionContext, input_: inputs.Subscribe) -> None:
    """Desire the subscription."""
    context.subscriptions.add(input_.spec)


def remove_subscription(context: ConnectionContext, input_: inputs.Unsubscribe) -> None:
    """Desire the subscription no more, and tell that it is gone unless the server must hear of the removal first."""
    context.step.commands += context.subscriptions.withdraw(input_.id)


def begin_identity_trial(context: ConnectionContext, input_: inputs.Authenticate) -> None:
    """Take the new identity on trial: only a greeting or a reply confirms it."""
    context.session, context.trial = input_.session, True


def end_identity_trial(context: ConnectionContext, _: inputs.LogOut) -> None:
    """End the trial of an identity: a guest has nothing to confirm."""
    context.trial = False


def set_presence(context: ConnectionContext, input_: inputs.SetPresence) -> None:
    """Desire the presence, or no presence any more. It replaces one that waits."""
    context.subscriptions.presence.set(input_.message, input_.id)


def switch_ping(context: ConnectionContext, input_: inputs.PingEnabledChanged) -> None:
    """Keep whether pings are on."""
    context.ping_enabled = input_.enabled


# --- the socket -------------------------------------------------------------------------------------------------------


def record_greeting(context: ConnectionContext, input_: inputs.GreetingReceived) -> None:
    """Keep the user and the era from the first greeting of a link; an unexpected guest is a failure."""
    if context.state in LIVE:  # a second greeting would make the connection forget all acknowledgements
        return
    if input_.unexpected_guest:
        _fail(context, GreetedAsGuest())
        return
    context.trial = False
    context.step.user_changed = input_.user_changed and context.draining is not None
    context.step.commands.append(UserIdentified(input_.user))
    context.subscriptions.begin_link()
    if not context.require_link.subscribed_in_url:
        context.era = Era.E4
        return
    if input_.has_subscription_ids:  # as an E4 does, too, if the URL has channels
        if context.era is not Era.E3:
            context.doubtful = context.configured_era is None and context.era is not None
        context.era = Era.E3
    else:
        context.doubtful = False  # an E4 would have told the ids
        context.era = Era.E1 if context.era is Era.E1 else Era.E2
    assert context.era is not None
    context.subscriptions.link_subscribed_in_url(input_.channels, context.era)


def accept_reply(context: ConnectionContext, input_: inputs.Acknowledged) -> None:
    """Keep the subscriptions, identity or presence that a reply confirms. A reply ends a server fault; a greeting does not."""
    if input_.to == GREETING_ACK:
        _accept(context, context.subscriptions.acknowledge_url_subscriptions())
        return
    link = context.require_link
    _prove(context, link)
    link.fault = None
    if input_.to == AUTHENTICATE:
        context.trial = False
        context.step.commands.append(UserIdentified(input_.user))
    _accept(context, context.subscriptions.handle_reply(input_.acknowledged, input_.presence))
    link.request_sent_at = None


def record_pong(context: ConnectionContext, _: inputs.Pong) -> None:
    """Keep the round trip of the ping in flight, and that the server works, which ends a server fault."""
    link = context.link
    if link is not None and link.ping_in_flight is not None:
        context.step.round_trip = context.now - link.ping_in_flight.at
        context.era = Era.E2 if context.era is Era.E1 else context.era
        _prove(context, link)


def prove_server(context: ConnectionContext, _: inputs.Recovered) -> None:
    """Keep that the server works, which ends a server fault."""
    _prove(context, context.require_link)


def skip_repeated_error(context: ConnectionContext, input_: inputs.ErrorReceived) -> None:
    """Finish the step where the error frame of a live link tells nothing new; keep the frame as the newest.

    A 1013 or 429 tells that the server dropped a message (PROTOCOL: "Messages", rule 4). It tells nothing where no message awaits
    an answer. A 1008 that follows another one announces the same end of the link.
    """
    link = context.require_link
    if context.state not in LIVE or context.subscriptions.in_flight is not None:
        return
    last = link.last_error
    is_repeated = input_.code == POLICY and last is not None and last.cause.code == POLICY
    if is_repeated or (is_throttle(input_.code) and link.ping_in_flight is None):
        answered_request = is_repeated and last is not None and last.answered_request
        link.last_error = LastError(ServerError(input_.code, input_.message), link.frames_received, answered_request)
        context.step.finished = True


def record_error(context: ConnectionContext, input_: inputs.ErrorReceived) -> None:
    """Keep the error frame as the failure, and whether it answers a request and whether the credentials are renewable."""
    link = context.require_link
    cause = ServerError(input_.code, input_.message)
    context.step.renewable = input_.renewable
    link.last_error = LastError(cause, link.frames_received, context.subscriptions.in_flight is not None)
    _fail(context, cause)


def accept_error_as_pong(context: ConnectionContext, input_: inputs.ErrorReceived) -> None:
    """Take error 1003 for the pong of the oldest servers (E1), where a ping is in flight."""
    link = context.require_link
    if link.ping_in_flight is not None and input_.code == 1003:  # PROTOCOL: "Four server eras"
        context.step.round_trip = context.now - link.ping_in_flight.at
        context.era = Era.E1 if context.era is Era.E2 else context.era
        _prove(context, link)


def reject_new_in_url(context: ConnectionContext, input_: inputs.ErrorReceived) -> None:
    """Reject the new subscriptions in a URL that the server refuses, where the server has acknowledged others in it before."""
    link = context.require_link
    about_us = is_throttle(input_.code) or input_.code in (401, 403)
    if link.subscribed_in_url and link.phase is not Phase.LIVE and not about_us:
        rejected = context.subscriptions.reject_new_in_url(input_.code, input_.message)
        context.step.rejected_new_subscriptions = bool(rejected)
        context.step.commands += rejected


def answer_request(context: ConnectionContext, input_: inputs.ErrorReceived) -> None:
    """Reject, halve or repeat the request in flight, as the error demands; too many messages only repeat it."""
    link = context.require_link
    live, answered_request = link.phase is Phase.LIVE, context.subscriptions.in_flight is not None
    if live and is_throttle(input_.code):
        link.budget.block_for_window(context.now)
        context.step.commands += context.subscriptions.requeue_in_flight()
    elif live and is_server_fault(input_.code) and (answered_request or link.ping_in_flight is not None):
        _meet_fault(context, link, input_)
    else:
        context.step.commands += context.subscriptions.handle_error(input_.code, input_.message, context.retry.attempts)
        if live and answered_request and input_.code == POLICY and context.subscriptions.queue.batches:
            _postpone(context, link)
    if any(isinstance(command, AuthenticationRefused) for command in context.step.commands):
        context.trial = False
    link.request_sent_at = None


def end_draining(context: ConnectionContext, input_: inputs.LinkClosed) -> None:
    """Finish the step where the stream of the draining link ended, and close that link."""
    if input_.generation == context.draining_generation:
        context.draining = None
        context.step.commands.append(CloseLink(input_.generation, graceful=False))
        context.step.finished = True


def record_end(context: ConnectionContext, input_: inputs.LinkClosed | inputs.DialFailure) -> None:
    """Keep why the link or the dial ended: the input's cause, else an error frame directly before, else the close code."""
    if input_.cause is not None:
        _fail(context, input_.cause)
        return
    assert isinstance(input_, inputs.LinkClosed)
    link = context.require_link
    last = link.last_error
    context.step.heard = None if last is None else last.frames_received != link.frames_received
    if last is None or context.step.heard:
        _fail(context, StreamEnded(input_.close_code))
        return
    _fail(context, last.cause, answered_request=last.answered_request)
    if last.answered_request and last.cause.code == POLICY and context.subscriptions.queue.refusals.accepted:
        context.attempt = max(0, context.attempt - 1)  # the server refused a request, and the link itself had not failed


def forget_closed(context: ConnectionContext, input_: inputs.Closed) -> None:
    """Let the next dial wait no longer for the closed link. Send the presence again if the server deleted it with that link."""
    context.awaited = tuple(other for other in context.awaited if other != input_.generation)
    if context.lingering is not None and context.lingering.generation == input_.generation:
        if context.lingering.presence_id is not None:
            context.subscriptions.presence.begin_link()
        context.lingering = None


def record_deafness(context: ConnectionContext, _: inputs.Deaf) -> None:
    """Keep that the event of the canary is missing, as the failure of the link."""
    assert context.canary is not None
    context.deaf = True
    _fail(context, Overdue("echo", context.canary.within))


# --- the clock --------------------------------------------------------------------------------------------------------


def record_overdue(context: ConnectionContext, _: inputs.Deadline) -> None:
    """Keep which answer is overdue, as the failure: the upgrade, the greeting, the pong or the reply."""
    link = context.link
    if link is None:
        return
    if link.phase is Phase.DIALING:
        _fail(context, Overdue(link.phase.value, context.timeouts.dial))
    elif link.phase is Phase.GREETING:
        _fail(context, Overdue(link.phase.value, context.timeouts.greeting))
    elif link.ping_in_flight is not None:
        context.step.heard = link.frames_received != link.ping_in_flight.frames_received
        if link.no_reply_to_ping:
            _fail(context, Overdue("pong", context.ping.timeout))
    elif context.is_due(context.reply_by):
        _fail(context, Overdue("reply", context.timeouts.reply))


def probe_link(context: ConnectionContext, input_: inputs.Probe) -> None:
    """Plan a canary on a live link. A second canary on the same link tells that the first one came back."""
    if context.state not in LIVE:
        return
    link = context.require_link
    context.deaf = context.deaf and not link.probed
    link.probed = True
    context.step.commands += context.subscriptions.presence.probe(input_.spec, input_.presence, input_.id)


def update_timers(context: ConnectionContext, _: inputs.Input | None = None) -> None:
    """Keep since when the link is stable, idle, or needs another URL; end a handover that the link completes."""
    link, subscriptions = context.link, context.subscriptions
    if link is None or link.phase is not Phase.LIVE:
        return
    complete = subscriptions.all_acknowledged or not subscriptions.desired
    if complete:
        context.record_proven(link)
    link.stable_since = _since_when(link.stable_since, context.now, holds=complete)
    link.idle_since = _since_when(link.idle_since, context.now, holds=subscriptions.all_removed)
    link.handover_wanted_since = _since_when(link.handover_wanted_since, context.now, holds=subscriptions.needs_handover)
    context.end_handover()


# --- shared by the notes ----------------------------------------------------------------------------------------------


def _accept(context: ConnectionContext, commands: Sequence[Command]) -> None:
    context.step.commands += commands
    if context.subscriptions.queue.refusals.accepted:
        context.refusals = 0


def _fail(context: ConnectionContext, cause: LinkFailure, *, answered_request: bool = False) -> None:
    """Keep why an attempt or a link ended; `answered_request` if the error that ended it answered a request."""
    live = context.state in LIVE
    context.step.failure = cause
    if not live and not isinstance(cause, IdentityUnavailable):
        cause.server = context.server
    context.step.verdict = verdict(cause, live=live, may_pass=_may_pass(context, answered_request=answered_request))
    code = cause.code if isinstance(cause, ServerError) else cause.close_code if isinstance(cause, StreamEnded) else None
    if code == POLICY:
        context.step.refused = not (context.subscriptions.queue.refusals.accepted if answered_request else _is_proven(context))


def _is_proven(context: ConnectionContext) -> bool:
    return context.link is not None and context.link.proven


def _may_pass(context: ConnectionContext, *, answered_request: bool) -> bool:
    """Tell whether a refusal (1008) may pass, so that another dial makes sense."""
    most = context.retry.attempts
    patient = most is None or context.refusals + 1 < most
    if answered_request:
        return patient or not (context.subscriptions.desired and context.subscriptions.queue.refusals.everything)
    return _is_proven(context) or (context.been_up and patient)


def _prove(context: ConnectionContext, link: LinkState) -> None:
    """Keep that the server works, which ends a server fault."""
    link.proven_at = context.now
    if link.fault is not None:
        link.fault.ping_failed, link.fault.suspected_since = False, None
        context.end_fault(link, lost=False)


def _meet_fault(context: ConnectionContext, link: LinkState, input_: inputs.ErrorReceived) -> None:
    """Begin or continue a server fault (PROTOCOL: "Messages", rule 10)."""
    fault = link.fault = link.fault or Fault()
    # A repeated request may fail for a reason of its own: the server has worked since the first failure of that request.
    if context.subscriptions.in_repetition and link.proven_at is not None:
        fault.suspected_since = link.proven_at
    elif not fault.is_open:
        fault.open(link.since if link.proven_at is None else link.proven_at)
        context.step.fault_news = FaultNews(opened=True, seconds=context.now - fault.since)
    if link.ping_in_flight is not None:
        fault.ping_failed = True
        context.subscriptions.queue.reunite()
        return
    context.step.commands += context.subscriptions.repeat(
        input_.code, input_.message, context.retry.attempts, whole=fault.ping_failed
    )
    _postpone(context, link)


def _postpone(context: ConnectionContext, link: LinkState) -> None:
    """Plan when to repeat a request that met a server fault, or a refusal (1008) on a link that stays up."""
    fault = link.fault = link.fault or Fault()
    fault.again_at = None
    if context.subscriptions.has_pending_request:
        fault.postpone(context.now, context.retry, context.step.take_draw())


def _since_when(before: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if before is None else before


NOTES: dict[str, Callable[[ConnectionContext, Any], None]] = {
    Note.ADD_SUBSCRIPTION: add_subscription,
    Note.REMOVE_SUBSCRIPTION: remove_subscription,
    Note.BEGIN_IDENTITY_TRIAL: begin_identity_trial,
    Note.END_IDENTITY_TRIAL: end_identity_trial,
    Note.SET_PRESENCE: set_presence,
    Note.SWITCH_PING: switch_ping,
    Note.RECORD_GREETING: record_greeting,
    Note.ACCEPT_REPLY: accept_reply,
    Note.RECORD_PONG: record_pong,
    Note.PROVE_SERVER: prove_server,
    Note.SKIP_REPEATED_ERROR: skip_repeated_error,
    Note.RECORD_ERROR: record_error,
    Note.ACCEPT_ERROR_AS_PONG: accept_error_as_pong,
    Note.REJECT_NEW_IN_URL: reject_new_in_url,
    Note.ANSWER_REQUEST: answer_request,
    Note.END_DRAINING: end_draining,
    Note.RECORD_END: record_end,
    Note.FORGET_CLOSED: forget_closed,
    Note.RECORD_DEAFNESS: record_deafness,
    Note.RECORD_OVERDUE: record_overdue,
    Note.PROBE_LINK: probe_link,
    Note.UPDATE_TIMERS: update_timers,
}
"""The notes by name."""
