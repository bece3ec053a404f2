"""The WebSocket `/ws/depth`: reads which pair a browser wants, the scanner's hub does the rest."""

from accounts.access.browser_socket import BrowserSocket
from core.web import acks
from realtime.depth.messages import DepthMessage, Show, decode_depth_message
from realtime.depth.viewer import DepthViewer
from realtime.scanner.hub import ScanHub, process_scan_hub


class Depth(BrowserSocket):
    """One browser's pair. Nothing is sent before it says which."""

    viewer: DepthViewer | None = None
    hub: ScanHub

    async def _open(self, user_id: int) -> None:
        hub = process_scan_hub()
        await hub.ready()
        viewer = DepthViewer(self._pipe(), hub.book, self._close_later)
        hub.watch(viewer)
        self.hub, self.viewer = hub, viewer

    def _decode(self, text: str) -> DepthMessage:
        return decode_depth_message(text)

    async def _obey(self, message: DepthMessage) -> None:
        if self.viewer is None:
            return  # it was closed meanwhile
        match message:
            case acks.Ack(seq=seq):
                self.viewer.acked(seq)
            case Show():
                self.viewer.show(message)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.hub.unwatch(self.viewer)
