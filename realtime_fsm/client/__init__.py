"""What users import: `Realtime`, `Subscription`, `Listener`, and the same without an event loop."""
