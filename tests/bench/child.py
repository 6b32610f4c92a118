"""The child: ``python -m bench.child`` runs what it is told, a command a line on stdin, an answer a line on stdout.

A command names a function, as ``module:function``, and its arguments; the answer is what it returns. The child ends with its
standard input.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

if __name__ == "__main__":
    # A buffer of our own: with PYTHONUNBUFFERED, what a write to a full pipe leaves over would be lost.
    answers, sys.stdout = os.fdopen(os.dup(1), "w", encoding="ascii"), sys.stderr
    for line in sys.stdin:
        command = json.loads(line)
        module, _, function = command.pop("do").partition(":")
        answer = getattr(import_module(module), function)(**command)
        print(json.dumps(answer), file=answers, flush=True)
