"""The ASGI application Daphne serves: pages and WebSockets."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")

application = get_asgi_application()
