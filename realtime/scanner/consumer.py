"""The WebSocket `/ws/scanner`: reads which rows a browser wants, the scanner's hub does the rest."""

from realtime.hub_socket import HubSocket
from realtime.scanner.messages import ScanMessage, decode_scan_message
from realtime.scanner.viewer import ScanViewer


class Scanner(HubSocket):
    """One browser's scanner."""

    def _make_viewer(self) -> ScanViewer:
        return ScanViewer(self._pipe(), self.hub.pages, self._close_later)

    def _decode(self, text: str) -> ScanMessage:
        return decode_scan_message(text)
