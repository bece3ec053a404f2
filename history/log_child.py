"""A program of a moment: what deltalake has to do for a collector, done in a process of its own.

The library takes 30 MB and is needed once in a hundred appends. It is run as a file, so that neither
Django nor Arrow are loaded: a tenth of a second. In: one JSON object (`uri`, `options`, `app_ids`,
`checkpoint`). Out: one with what the table's log says, or its `error`. See `history.logs`.
"""

import json
import sys
from typing import Any


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What the newest version of a table says; its log summed up first, if wanted."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(question["uri"], storage_options=question["options"] or None)
        if question["checkpoint"]:
            table.create_checkpoint()
        versions = {each: table.transaction_version(each) for each in question["app_ids"]}
        return {
            "version": table.version(),
            "min_writer_version": table.protocol().min_writer_version,
            "columns": [field.name for field in table.schema().fields],
            "transactions": {each: version for each, version in versions.items() if version is not None},
        }
    except (DeltaError, OSError) as error:
        return {"error": str(error) or type(error).__name__}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
