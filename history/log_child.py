"""A program of a moment: what deltalake has to do for a collector, done in a process of its own.

The library takes 30 MB and is needed once in a hundred appends: to write a checkpoint. It is run as a
file, so that neither Django nor Arrow are loaded. In: one JSON object (`uri`, `options`). Out: nothing,
or what went wrong. See `history.logs`.
"""

import json
import sys


def problem(uri: str, options: dict[str, str]) -> str:
    """Sum up the log of a table; why it could not be done, empty when it was."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        DeltaTable(uri, storage_options=options or None).create_checkpoint()
    except (DeltaError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


if __name__ == "__main__":
    sys.stdout.write(problem(**json.load(sys.stdin)))
