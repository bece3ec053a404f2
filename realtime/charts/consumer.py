"""The WebSocket `/ws/realtime_charts`: reads which charts a browser wants, the hub does the rest."""

from typing import Final
from urllib.parse import parse_qs

from accounts.access.browser_socket import BrowserSocket
from core.web import acks, closing
from core.web.closing import Closed
from realtime.charts import wire
from realtime.charts.hub import Hub, process_hub
from realtime.charts.viewer import Viewer

TAKEN: Final = ("filter", "seq")
"""What the address may ask, each once."""


class RealtimeCharts(BrowserSocket):
    """One browser's charts."""

    viewer: Viewer | None = None
    hub: Hub

    async def _open(self, user_id: int) -> None:
        watch, filter_id, seen_seq = _parse_query(self.scope["query_string"])
        self.hub = process_hub()
        viewer = Viewer(user_id, self._pipe(), self.hub.reads, self._close_later, seen_seq)
        self.hub.seats.join(viewer)
        self.viewer = viewer
        if watch:
            await self.hub.seats.watch_filter(viewer, filter_id, seen_seq)
        else:
            viewer.greet()

    def _decode(self, text: str) -> wire.ClientMessage:
        return wire.decode_client_message(text)

    async def _obey(self, message: wire.ClientMessage) -> None:
        viewer = self.viewer
        if viewer is None:
            return  # it was closed meanwhile
        match message:
            case acks.Ack(seq=seq):
                viewer.acked(seq)
            case wire.Subscribe(filter=int(filter_id)):
                await self.hub.seats.watch_filter(viewer, filter_id)
            case wire.Subscribe(charts=list(chart_ids)):
                await self.hub.seats.watch_charts(viewer, chart_ids)
            case wire.Unsubscribe(charts=chart_ids):
                self.hub.seats.unwatch(viewer, chart_ids)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.hub.leave(self.viewer)


def _parse_query(query: bytes) -> tuple[bool, int | None, int]:
    """(whether to watch anything, filter or None for the default, seq seen). Raises Closed."""
    given = parse_qs(query.decode(errors="replace"), keep_blank_values=True)
    for name, values in given.items():
        if name not in TAKEN or len(values) > 1:
            problem = "given more than once" if name in TAKEN else "there is no such parameter"
            raise Closed(closing.CLOSE_BAD_MESSAGE, f"{name[:30]}: {problem}; this takes {', '.join(TAKEN)}")
    filter_text, seq_text = given.get("filter", [""])[0], given.get("seq", [""])[0] or "0"
    if not _is_number(seq_text):
        raise Closed(closing.CLOSE_BAD_MESSAGE, "seq takes the last seq seen, a whole number")
    if filter_text == "none":
        return False, None, int(seq_text)
    if filter_text and not _is_number(filter_text):
        raise Closed(closing.CLOSE_BAD_MESSAGE, "filter takes the number of a filter, or none")
    return True, int(filter_text) if filter_text else None, int(seq_text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
