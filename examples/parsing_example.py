"""Reading one checkpoint file.

python examples/parsing_example.py path/to/checkpoint.json
"""

from __future__ import annotations

import sys

from buildwidget import (
    CheckpointError,
    calculate_completion_percentage,
    extract_component_updates,
    extract_feature_updates,
    get_checkpoint_summary,
    parse_checkpoint,
)


def main(path: str) -> None:
    """Print the items and the summary of a checkpoint."""
    checkpoint = parse_checkpoint(path)
    print(checkpoint["id"], checkpoint["phase"], checkpoint["overall_progress"])
    for component in extract_component_updates(path):
        print(" ", component["id"], component["status"], component["progress"])
    for feature in extract_feature_updates(path):
        print(" ", feature["id"], feature["status"], feature["progress"])
    print("components:", calculate_completion_percentage(checkpoint["components"]), "%")
    print(get_checkpoint_summary(path))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (IndexError, CheckpointError) as error:
        sys.exit(f"usage: parsing_example.py FILE ({error})")
