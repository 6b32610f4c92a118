"""The words: table, frames, events, inputs, requests, policies, options, errors. No I/O, no third-party but msgspec."""
