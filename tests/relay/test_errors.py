"""The errors of the relay: each carries its facts, and a text with the remedy."""

from __future__ import annotations

import pytest

from realtime_fsm.relay import (
    BrokerRefused,
    BrokerUnavailable,
    CatchUpFailed,
    InsecureBroker,
    MessageTooLarge,
    RelayError,
    StreamFull,
    StreamUnfit,
)
from realtime_fsm.relay.errors import CredentialsUnusable


@pytest.mark.parametrize(
    ("error", "facts", "text"),
    [
        (
            BrokerUnavailable("host:4222", "refused"),
            {"server": "host:4222", "reason": "refused"},
            "the broker host:4222 does not answer: refused; check that nats-server -js runs there",
        ),
        (
            CredentialsUnusable("host:4222", "away"),
            {"server": "host:4222", "reason": "away"},
            "the login at the broker host:4222 cannot be tried: away",
        ),
        (
            BrokerRefused("host:4222", "no login"),
            {"server": "host:4222", "reason": "no login"},
            "the broker host:4222 refuses: no login; check the login, and its permissions to publish to appwrite.> and"
            " $JS.API.>, and to subscribe to _INBOX.>",
        ),
        (
            InsecureBroker("host:4222", "expired"),
            {"server": "host:4222", "reason": "expired"},
            "TLS with the broker host:4222 failed: expired; trust its authority by SSL_CERT_FILE or tls=",
        ),
        (
            InsecureBroker("host:4222", "no TLS", "serve TLS"),
            {"server": "host:4222", "reason": "no TLS"},
            "TLS with the broker host:4222 failed: no TLS; serve TLS",
        ),
        (
            StreamUnfit("S", "taken", "name T"),
            {"stream": "S"},
            "the stream S cannot be used: taken; name T",
        ),
        (
            StreamUnfit("S", "it is sealed"),
            {"stream": "S"},
            "the stream S cannot be used: it is sealed; change it with the nats command, or name another",
        ),
        (
            StreamFull("S", "maximum bytes exceeded"),
            {"stream": "S"},
            "the stream S takes no more messages: maximum bytes exceeded; raise its limits, or purge old messages",
        ),
        (
            MessageTooLarge("appwrite.demo.rows", 9, "at most 8"),
            {"subject": "appwrite.demo.rows", "size": 9},
            "an event of 9 bytes for appwrite.demo.rows is too large: at most 8; raise max_payload of the broker, or"
            " max_msg_size of the stream",
        ),
        (
            CatchUpFailed("KeyError"),
            {"reason": "KeyError"},
            "catch_up failed with KeyError, and the relay has stopped before later events; run the relay again",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RelayError) else "",
)
def test_an_error_carries_its_facts_and_a_remedy(error: RelayError, facts: dict[str, object], text: str) -> None:
    assert (vars(error), str(error)) == (facts, text)
