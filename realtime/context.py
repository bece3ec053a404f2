"""What every template may ask."""

from django.conf import settings
from django.http import HttpRequest


def feed(request: HttpRequest) -> dict[str, bool | str]:
    """`simulated`: whether the prices are invented, so that the page says so; `url_prefix`: of all paths."""
    return {"simulated": settings.FEED == "sim", "url_prefix": settings.URL_PREFIX}
