"""Put what ``optimlab compare`` prints into ``docs/comparison.md``, and its verdict into the README.

``python docs/make_comparison.py FOLDER``, with the folder of a finished comparison: its runs are not run again. ``make
docs`` calls it, so that no page is older than the code.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from optimlab.study import read_comparison

DOCS = Path(__file__).parent
MARK = "made by docs/make_comparison.py -->\n"


def printed(folder: str) -> str:
    """The tables and the verdict, as a terminal of 100 columns shows them."""
    command = [sys.executable, "-m", "optimlab", "compare", "--out", folder]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip() for line in text.partition("\nWritten to")[0].splitlines()]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```\n"


def verdict(folder: str) -> str:
    """The sentences as a list."""
    return "".join(f"- {sentence}\n" for sentence in read_comparison(folder).verdict)


def replaced(page: str, block: str) -> str:
    """The page with this block between its marks.

    >>> print(replaced(f"<!-- table: {MARK}old\\n<!-- end -->\\n", "new\\n"), end="")
    <!-- table: made by docs/make_comparison.py -->
    new
    <!-- end -->
    """
    pattern = re.compile(rf"({re.escape(MARK)}).*?(<!-- end -->\n)", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise SystemExit("the page must have the block once")
    return pattern.sub(lambda found: found[1] + block + found[2], page)


if __name__ == "__main__":
    for path, block in ((DOCS / "comparison.md", printed), (DOCS.parent / "README.md", verdict)):
        path.write_text(replaced(path.read_text(), block(sys.argv[1])))
