"""The WebSocket `/ws/health`: reads which symbols a page shows, the feed does the rest."""

from msgspec import structs

from accounts.access.browser_socket import BrowserSocket
from accounts.access.rights import Credential
from core.web import acks
from monitoring.pages.feed import HealthFeed, HealthViewer, process_feed
from monitoring.pages.symbols import Show, decode_health_message
from monitoring.pages.veil import SEE_PROCESSES, may_see_processes


class HealthSocket(BrowserSocket):
    """One open health page. Nothing is sent before it says which symbols to show."""

    viewer: HealthViewer | None = None
    feed: HealthFeed
    processes = False

    async def _credential(self) -> Credential:
        """Whether processes are shown is asked as the socket opens, and for as long as it is open."""
        self.processes = await may_see_processes(self.scope["user"])
        opened_by = await super()._credential()
        return structs.replace(opened_by, permission=SEE_PROCESSES, has_permission=self.processes)

    async def _open(self, user_id: int) -> None:
        self.feed = process_feed()
        await self.feed.refresh()
        self.viewer = HealthViewer(self._pipe(), self.feed, self._close_later, processes=self.processes)
        self.feed.join(self.viewer)

    def _decode(self, text: str) -> acks.Ack | Show:
        return decode_health_message(text)

    async def _obey(self, message: acks.Ack | Show) -> None:
        if self.viewer is None:
            return  # it was closed meanwhile
        match message:
            case acks.Ack(seq=seq):
                self.viewer.acked(seq)
            case Show():
                self.viewer.show(message)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.feed.leave(self.viewer)
