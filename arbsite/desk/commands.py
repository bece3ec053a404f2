"""Features of every command: arguments that are text, errors that a terminal can print, traces in the audit.

`arbsite.apps` puts it around Django's own way to run a command.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import DataError, OperationalError, ProgrammingError

import audit
from core.names.plain_names import escaped, unfit_character

execute: Final = BaseCommand.execute

PAST_THE_AUDIT: Final = {
    "dbshell": "SQL shell opened",
    "flush": "emptying of all tables asked for",
    "remove_stale_contenttypes": "removal of models' permissions asked for",
    "shell": "Python shell opened",
}


def checked_execute(self: BaseCommand, *arguments: Any, **options: Any) -> Any:
    """Run the command. Raises CommandError, on one line, for an argument that nothing can be called."""
    for name, value in options.items():
        for text in _texts(value):
            if found := unfit_character(text, lines=True):
                words = f"“{escaped(text[:60])}” holds the character {found}, which has no place in it"
                raise CommandError(f"{_called(self, name)}: {words}")
    if getattr(self, "_called_from_command_line", False):
        _record(self)
    try:
        return execute(self, *arguments, **options)
    except CommandError as problem:
        raise CommandError(escaped(str(problem)), returncode=problem.returncode) from problem
    except DataError as problem:
        raise CommandError(f"a value that PostgreSQL cannot keep: {escaped(str(problem))}") from problem


def _record(command: BaseCommand) -> None:
    """Record the run of a command whose changes of rows are not recorded one by one.

    Without a database, or before it is migrated, there are no rows to change.
    """
    name = type(command).__module__.rpartition(".")[2]
    if name in PAST_THE_AUDIT:
        with suppress(OperationalError, ProgrammingError):
            audit.record("action", object=f"manage.py {name}", words=PAST_THE_AUDIT[name])


def _called(command: BaseCommand, name: str) -> str:
    """Name of an argument for an operator: `--from`, or the name in the help."""
    for action in command.create_parser("manage.py", "")._actions:
        if action.dest == name:
            return action.option_strings[-1] if action.option_strings else str(action.metavar or name)
    return name


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return [str(value)] if isinstance(value, str | Path) else []


BaseCommand.execute = checked_execute  # type: ignore[method-assign]
