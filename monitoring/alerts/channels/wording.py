"""Text of a message, the same in every channel that people read. Plain Python, no Django."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from monitoring.alerts.messages import AlertSeverity, Message

MARKS: Final = {"critical": "⛔", "warning": "⚠️", "info": "ℹ️"}
RANKS: Final[tuple[AlertSeverity, ...]] = ("info", "warning", "critical")
GROUP_LINES: Final = 20
LINE: Final = 160


def headline(message: Message) -> str:
    """The title behind a mark and a word, so that its state needs no colour: `⛔ CRITICAL: okx is silent`."""
    if message.state == "resolved":
        return f"✅ RESOLVED: {message.title}"
    if message.state == "test":
        return f"🔔 TEST: {message.title}"
    return f"{MARKS[message.severity]} {message.severity.upper()}: {message.title}"


def when(message: Message) -> str:
    """Time of the event it reports, which may be long before it arrives."""
    return f"{datetime.fromtimestamp(message.at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def grouped(messages: Sequence[Message]) -> Message:
    """Several messages in one, a line each, for a channel that may not be sent more.

    Raises:
        ValueError: there are none.
    """
    lines = [shorten(headline(message), LINE) for message in messages[:GROUP_LINES]]
    if (more := len(messages) - len(lines)) > 0:
        lines.append(f"… and {more:,} more")
    latest = max(messages, key=lambda message: message.at_us)
    return Message(
        title=shorten(f"{len(messages):,} alerts: {', '.join(m.title for m in messages)}", LINE),
        words="\n".join(lines),
        severity=max((message.severity for message in messages), key=RANKS.index),
        state="digest",
        facts=(),
        url=next((message.url for message in messages if message.url), ""),
        key=f"group:{latest.key}",
        at_us=latest.at_us,
    )


def shorten(text: str, most: int) -> str:
    """The text in at most so many UTF-16 units, which is how Telegram counts."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * most:
        return text
    return units[: 2 * max(0, most - 1)].decode("utf-16-le", "ignore") + "…"


def length(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "replace")) // 2


def fitting(lines: Sequence[str], most: int) -> list[str]:
    """Take as many of the lines as have room, from the first on; each costs its line break, too."""
    kept = []
    for line in lines:
        most -= length(line) + 1
        if most < 0:
            break
        kept.append(line)
    return kept
