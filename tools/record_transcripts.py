"""Record the transcripts for client authors: `python tools/record_transcripts.py` writes tests/transcripts/*.jsonl.

The actions of a transcript (`publish`, `connect`, `send` …) are read from its file. Their results (`receive`, `close`,
`state`) are recorded from a real server. To add a transcript, write a file with its actions, and run this. With
`--check` nothing is written: it lists the files that would change.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.transcripts import player  # noqa: E402


def main(arguments: list[str]) -> int:
    """Write the transcripts, or compare them."""
    parser = argparse.ArgumentParser(description="Record the transcripts for client authors.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args(arguments)
    changed = False
    for name in options.names or player.names():
        path = player.path_of(name)
        text = player.dump(player.record(player.load(name)))
        if text == path.read_text("utf-8"):
            continue
        changed = True
        print(f"{path.name} {'is not current' if options.check else 'is written'}")
        if not options.check:
            path.write_text(text, "utf-8")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
