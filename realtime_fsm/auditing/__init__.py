"""Auditing: judge audit logs, and tell how their connections lived.

One road: sources give lines, the auditor makes records of them and follows each connection in a shadow, the judge compares each
step with the table and the policies, the ledger keeps what was found and how the connection lived, and a report of plain values
is drawn as text, JSON, Markdown, JUnit's XML or a page.
"""
