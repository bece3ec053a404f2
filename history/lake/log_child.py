"""A program of a moment: what deltalake has to do for a collector, done in a process of its own.

The library takes 30 MB and is needed once in a hundred appends, to write a checkpoint, and after an update
that gave a table new columns. It is run as a file, so that neither Django nor Arrow are loaded. In: one JSON
object (`uri`, `options`, perhaps `columns`: Delta's type by name). Out: nothing, or what went wrong. See
`history.lake.logs`.
"""

import json
import sys


def problem(uri: str, options: dict[str, str], columns: dict[str, str] | None = None) -> str:
    """Add nullable columns to a table, or checkpoint its log; why it could not be done, empty when it was."""
    from deltalake import DeltaTable, Field
    from deltalake.exceptions import DeltaError
    from deltalake.schema import PrimitiveType

    try:
        table = DeltaTable(uri, storage_options=options or None)
        if columns:
            table.alter.add_columns([Field(name, PrimitiveType(kind)) for name, kind in columns.items()])
        else:
            table.create_checkpoint()
    except (DeltaError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


if __name__ == "__main__":
    sys.stdout.write(problem(**json.load(sys.stdin)))
