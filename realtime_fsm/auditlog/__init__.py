"""The audit log: record types, schema, writer and file."""
