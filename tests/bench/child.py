"""Run functions in a child process: ``python -m bench.child`` reads one command a line on stdin and prints one answer a line.

A command names a function, as ``module:function``, and its arguments; the answer is the return value. The end of standard input
ends the child.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

if __name__ == "__main__":
    # With PYTHONUNBUFFERED, a write to a full pipe loses its rest, so the answers have their own buffer.
    answers, sys.stdout = os.fdopen(os.dup(1), "w", encoding="ascii"), sys.stderr
    for line in sys.stdin:
        command = json.loads(line)
        module, _, function = command.pop("function").partition(":")
        answer = getattr(import_module(module), function)(**command)
        print(json.dumps(answer), file=answers, flush=True)
