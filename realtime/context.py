"""Context that every template may use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from realtime.addresses import redirected


def feed(request: HttpRequest) -> dict[str, Any]:
    """`simulated`: whether the prices are invented, so that the page says so; `redirected`: asks which
    exchanges are read from elsewhere; `url_prefix`: of all paths.
    """
    return {
        "simulated": settings.FEED == "sim",
        "redirected": redirected,
        "url_prefix": settings.URL_PREFIX,
    }
