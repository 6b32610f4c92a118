"""The public classes: `Realtime`, `Subscription` and `Listener`, with and without an event loop."""
