"""The live inspector: one local page that shows what connections do, from their records.

Design: sources give records (`logs` reads files, `live` listens to this process). `board` reduces them to one view for each
connection, and tells browsers which views have changed. `page` is the picture, `server` lets in only this machine and its token.
"""
