"""Message of an alert, the same for every channel; a channel turns it into its own form.

Plain Python, no Django. Kept as JSON in the outbox (`monitoring.models.Delivery.message`).
"""

from typing import Literal

from msgspec import Struct, structs

from core.names.plain_names import plain

AlertSeverity = Literal["info", "warning", "critical"]
MessageState = Literal["firing", "resolved", "digest", "test"]


class Message(Struct, frozen=True):
    """One message. `key` is the incident's: the same when it fires, is repeated and is resolved.

    `facts` are (label, value) in the order a reader wants them, `url` leads to the desk, empty where
    nobody said under which address it is reached. `at_us` is when its event happened (wall clock,
    µs, UTC).
    """

    title: str
    words: str
    severity: AlertSeverity
    state: MessageState
    facts: tuple[tuple[str, str], ...]
    url: str
    key: str
    at_us: int


def harmless(message: Message) -> Message:
    """The message without characters that turn or hide text, or that a header or a terminal would obey."""
    return structs.replace(
        message,
        title=plain(message.title),
        words=plain(message.words, lines=True),
        facts=tuple((plain(label), plain(value, lines=True)) for label, value in message.facts),
    )
