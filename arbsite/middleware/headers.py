"""Headers of every answer: what the desk says is kept nowhere on the way, and of no use to another site."""

from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

NO_STORE: Final = "no-store"
PERMISSIONS: Final = ", ".join(
    f"{each}=()"
    for each in (
        "accelerometer", "browsing-topics", "camera", "display-capture", "geolocation",
        "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi",
        "payment", "serial", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip
"""What a page of the desk has no use for, so no script in it has either."""


class HeadersMiddleware(MiddlewareMixin):
    """Goes outside everything that answers. Static files alone may be kept: they say nothing of the desk."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add what is missing."""
        is_a_file = request.path.startswith(settings.STATIC_URL) and response.status_code < 400
        if not is_a_file and NO_STORE not in response.get("Cache-Control", ""):
            response["Cache-Control"] = NO_STORE
        response["Permissions-Policy"] = PERMISSIONS
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        return response
