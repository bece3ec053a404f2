"""Base of the sockets that follow the scanner's hub: that of its rows, and that of a pair's depth."""

from typing import Any, Protocol

from accounts.access.browser_socket import BrowserSocket, SocketViewer
from core.web import acks
from realtime.scanner.hub import ScanHub, process_scan_hub
from realtime.scanner.hub import Viewer as HubViewer


class Viewer(HubViewer, SocketViewer, Protocol):
    """Browser that says what it wants to see."""

    def show(self, show: Any) -> None:
        """Show this from the next message on."""


class HubSocket(BrowserSocket):
    """One browser of the scanner's hub. Nothing is sent before it says what to show."""

    viewer: Viewer | None = None
    hub: ScanHub

    def _make_viewer(self) -> Viewer:
        """Make what follows the hub for this browser."""
        raise NotImplementedError

    async def _open(self, user_id: int) -> None:
        self.hub = process_scan_hub()
        await self.hub.ready()
        viewer = self._make_viewer()
        self.hub.join(viewer)
        self.viewer = viewer

    async def _obey(self, message: Any) -> None:
        if self.viewer is None:
            return  # it was closed meanwhile
        match message:
            case acks.Ack(seq=seq):
                self.viewer.acked(seq)
            case show:
                self.viewer.show(show)

    def _leave(self) -> None:
        if self.viewer is not None:
            self.hub.leave(self.viewer)
