"""The WebSocket `/ws/scanner`: reads which rows a browser wants, the scanner's hub does the rest."""

from accounts.access.browser_socket import BrowserSocket
from core.web import acks
from realtime.scanner.hub import ScanHub, process_scan_hub
from realtime.scanner.messages import ScanMessage, Show, decode_scan_message
from realtime.scanner.viewer import ScanViewer


class Scanner(BrowserSocket):
    """One browser's scanner. Nothing is sent before it says what to show."""

    viewer: ScanViewer | None = None
    hub: ScanHub

    async def _open(self, user_id: int) -> None:
        hub = process_scan_hub()
        await hub.ready()
        viewer = ScanViewer(user_id, self._pipe(), hub.pages, self._close_later)
        hub.join(viewer)
        self.hub, self.viewer = hub, viewer

    def _decode(self, text: str) -> ScanMessage:
        return decode_scan_message(text)

    async def _obey(self, message: ScanMessage) -> None:
        if self.viewer is None:
            return  # it was closed meanwhile
        match message:
            case acks.Ack(seq=seq):
                self.viewer.acked(seq)
            case Show():
                self.viewer.show(message)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.hub.leave(self.viewer)
