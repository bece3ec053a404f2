"""The WebSocket `/ws/depth`: reads which pair a browser wants, the scanner's hub does the rest."""

from realtime.depth.messages import DepthMessage, decode_depth_message
from realtime.depth.viewer import DepthViewer
from realtime.hub_socket import HubSocket


class Depth(HubSocket):
    """One browser's pair."""

    def _make_viewer(self) -> DepthViewer:
        return DepthViewer(self._pipe(), self.hub.book, self._close_later)

    def _decode(self, text: str) -> DepthMessage:
        return decode_depth_message(text)
