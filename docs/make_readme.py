"""Put what ``optimlab compare`` prints into the README, between the marks of the block.

``python docs/make_readme.py FOLDER``, with the folder of a finished comparison: its runs are not run again. ``make
docs`` calls it, so that the README's table is never older than the code.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- table: made by docs/make_readme.py -->\n```text\n).*?(```\n)", re.DOTALL)


def printed(folder: str) -> str:
    """The tables and the verdict, as a terminal of 100 columns shows them."""
    command = [sys.executable, "-m", "optimlab.cli", "compare", "--out", folder]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip() for line in text.partition("\nWritten to")[0].splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def replaced(readme: str, table: str) -> str:
    """The README with this table.

    >>> block = "<!-- table: made by docs/make_readme.py -->\\n```text\\nold\\n```\\n"
    >>> print(replaced(block, "new\\n"), end="")
    <!-- table: made by docs/make_readme.py -->
    ```text
    new
    ```
    """
    if len(BLOCK.findall(readme)) != 1:
        raise SystemExit(f"{README} must have the block of the table once")
    return BLOCK.sub(lambda found: found[1] + table + found[2], readme)


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(), printed(sys.argv[1])))
