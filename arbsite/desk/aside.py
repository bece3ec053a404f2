"""Files of an installation's state that cannot be used: set aside, so that what needs them starts afresh.

Nothing is deleted but what was set aside under the same name before: one of each is kept.
"""

import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

PREFIX: Final = "damaged-"


def set_aside(files: Iterable[Path], problem: object) -> list[Path]:
    """Rename what there is of these to `damaged-NAME`; returns where they lie now. Raises OSError."""
    moved = []
    for file in files:
        if not (file.exists() or file.is_symlink()):
            continue
        aside = file.with_name(PREFIX + file.name)
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        with suppress(FileNotFoundError):
            aside.unlink()
        file.rename(aside)
        moved.append(aside)
    if moved:
        names = ", ".join(map(str, moved))
        logger.error("%s could not be used and is set aside: %s", names, problem)
    return moved
