"""Extract the README's Python examples: `python tests/support/readme.py DIRECTORY` writes files for the type checker."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def examples() -> list[str]:
    """Return the examples, in order."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(examples(), 1):
        (directory / f"readme_example_{number}.py").write_text(example, encoding="utf-8")
