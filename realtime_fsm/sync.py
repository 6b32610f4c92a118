"""The synchronous client, for scripts, notebooks and frameworks without an event loop.

::

    from realtime_fsm.sync import Realtime

    with Realtime("https://cloud.appwrite.io/v1", project="demo") as realtime:
        for event in realtime.subscribe("rows", "files"):
            print(event.timestamp, event.events[0], event.payload)
"""

from realtime_fsm.client.blocking import Listener, Realtime, Subscription

__all__ = ["Listener", "Realtime", "Subscription"]
