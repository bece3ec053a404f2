"""What every template may ask."""

from django.conf import settings
from django.http import HttpRequest


def feed(request: HttpRequest) -> dict[str, bool]:
    """`simulated`: whether the prices are invented, so that the page says so."""
    return {"simulated": settings.FEED == "sim"}
