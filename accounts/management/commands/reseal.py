"""`manage.py reseal`: seal every stored secret under the present SECRET_KEY; the former one can go."""

from argparse import RawDescriptionHelpFormatter
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

import audit
from accounts.resealing import Count, former_keys, how_many, reseal, tokens_of_former_keys
from core.secrets.sealed_columns import sealed_columns


class Command(BaseCommand):
    """Reseal, with progress, and say how many."""

    help = (
        "Seal every stored secret under the present SECRET_KEY: those of alert channels, the proxies of\n"
        "exchanges, the keys of authenticator apps. Nothing is shown and nothing is lost; safe to repeat.\n"
        "\n"
        "To change SECRET_KEY:\n"
        "  1. Make a new key. Set SECRET_KEY to it, put the former one into SECRET_KEY_FALLBACKS, and\n"
        "     restart every process. Sessions, sockets, API tokens and secrets go on. (Several hosts: have\n"
        "     the new key in SECRET_KEY_FALLBACKS everywhere first.)\n"
        "  2. manage.py reseal --dry-run   says what there is; then manage.py reseal.\n"
        "  3. Wait SESSION_HOURS (seven days): sessions made before have ended then, and API tokens come\n"
        "     under the new key as they are used.\n"
        "  4. manage.py reseal once more. Then empty SECRET_KEY_FALLBACKS and restart: API tokens that it\n"
        "     still counts as not used end with that.\n"
        "\n"
        "A secret that no key opens is named, left as it is, and makes the exit status 1: put the key it\n"
        "was sealed under into SECRET_KEY_FALLBACKS, or enter the secret again."
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """Create a parser that keeps the help's lines."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Whether to write."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        """Reseal column by column."""
        if not former_keys():
            self.stdout.write("SECRET_KEY_FALLBACKS is empty: only what the present key sealed opens.")
        counts: dict[str, Count] = {}
        for column in sealed_columns:
            with tqdm(total=how_many(column), desc=column.title, unit="", disable=None) as bar:
                counts[column.title] = reseal(column, dry_run=dry_run, seen=partial(bar.update, 1))
            self._say(column.title, counts[column.title], dry_run)
        if tokens := tokens_of_former_keys():
            self.stdout.write(f"API tokens: {tokens} not used since the key changed end with the former key")
        if not dry_run:
            numbers = "; ".join(f"{title}: {each.numbers()}" for title, each in counts.items())
            audit.record("secrets_resealed", words=numbers)
        if lost := [name for each in counts.values() for name in each.unreadable]:
            raise CommandError(f"no key opens these, they were left as they are: {'; '.join(lost)}")

    def _say(self, title: str, count: Count, dry_run: bool) -> None:
        done = "would be resealed" if dry_run else "resealed"
        words = f"{title}: {count.resealed} {done}, {count.already} under the present key already"
        if count.unreadable:
            words += f", {len(count.unreadable)} that no key opens"
        self.stdout.write(words)
