"""Work on the rows that `realtime-fsm relay` publishes, with FastStream; start as many of these workers as the work needs.

    pip install 'faststream[nats]'
    NATS_URL=nats://127.0.0.1:4222 python relay_worker_faststream.py

FastStream decodes the payload, because the message names its content type. ``declare=False`` leaves the stream as it is.
"""

import asyncio
import os
import sys
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.errors import Error


def variable(name: str) -> str:
    """Return a variable of the environment, or end the program with a sentence."""
    return os.environ.get(name) or sys.exit(f"{name} is not set; the top of relay_worker_faststream.py shows how to set it")


async def report_trouble(trouble: Exception) -> None:
    """Print why nats-py has no broker; nats-py tries again without your help."""
    print("the broker:", trouble, file=sys.stderr, flush=True)


broker = NatsBroker(variable("NATS_URL"), error_cb=report_trouble)
stream = JStream("APPWRITE", declare=False)


@broker.subscriber(
    "appwrite.demo.>", durable="workers", stream=stream, pull_sub=PullSub(batch_size=10), ack_policy=AckPolicy.NACK_ON_ERROR
)
async def work(row: dict[str, Any], message: NatsMessage) -> None:
    """Work on one row; an exception makes the broker give the message to another worker."""
    action = message.raw_message.subject.rpartition(".")[2]
    if action == "gap":
        print("events may be missing since", row["since"], flush=True)
    else:
        print(action, row["$id"], message.headers["ce-time"], flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(FastStream(broker).run())
    except Error as failure:  # the relay has not made the stream yet
        sys.exit(f"the broker: {failure}")
