#!/usr/bin/env python3
"""Lists the lines of more than 100 columns in code, comments and Markdown.

Exempt are tables, and lines that only a link makes too long.
"""

import re
import subprocess
import sys

MAX = 100
KINDS = ["*.rs", "*.md", "*.toml", "*.py", "*.js", ".ci/*"]
TABLE_ROW = re.compile(r"\s*(//[/!])?\s*\|")
LINK = re.compile(r"https?://\S+|\]\([^)]*\)")


def is_exempt(line):
    return TABLE_ROW.match(line) or len(LINK.sub("", line)) <= MAX


tracked = subprocess.run(["git", "ls-files", *KINDS], capture_output=True, text=True, check=True)
too_long = 0
for path in tracked.stdout.splitlines():
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if len(line) > MAX and not is_exempt(line):
                print(f"{path}:{number}: {len(line)} columns")
                too_long += 1
sys.exit(too_long > 0)
