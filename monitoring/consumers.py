"""The WebSocket `/ws/health`: reads which symbols a page shows, the feed does the rest."""

from monitoring.feed import HealthFeed, HealthViewer, process_feed
from monitoring.symbol_page import Show, decode_health_message
from monitoring.veil import may_see_processes
from realtime import wire
from realtime.browser_socket import BrowserSocket


class HealthSocket(BrowserSocket):
    """One open health page. Nothing is sent before it says which symbols to show."""

    viewer: HealthViewer | None = None
    feed: HealthFeed

    async def _open(self, user_id: int) -> None:
        self.feed = process_feed()
        await self.feed.refresh()
        processes = await may_see_processes(self.scope["user"])
        self.viewer = HealthViewer(self._pipe(), self.feed, self._close_later, processes=processes)
        self.feed.join(self.viewer)

    def _decode(self, text: str) -> wire.Ack | Show:
        return decode_health_message(text)

    async def _obey(self, message: wire.Ack | Show) -> None:
        if self.viewer is None:
            return  # it was closed meanwhile
        match message:
            case wire.Ack(seq=seq):
                self.viewer.acked(seq)
            case Show():
                self.viewer.show(message)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.feed.leave(self.viewer)
