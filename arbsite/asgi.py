"""The ASGI application Daphne serves: pages and WebSockets."""

import gc
import os
from typing import Any, cast

from django.conf import settings
from django.core.asgi import get_asgi_application

from arbsite.desk.safety import in_words
from arbsite.patient_postgres import be_patient

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")

with in_words():
    str(settings.SECRET_KEY)  # a missing key is an error at the start, not at the first sign-in

# Only the web process asks PostgreSQL many small things in short-lived steps. A new connection for
# each would cost it 5 ms, and a thousand browsers that come back after a restart more than they wait.
be_patient(settings.DATABASES["default"], instead_of=settings.POSTGRES_TIMES)

pages = get_asgi_application()

# Only now that Django is set up may anything be imported that touches models.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402
from django.urls import re_path  # noqa: E402

import arbsite.daphne.bodies  # noqa: E402
import arbsite.daphne.crowds  # noqa: E402
import arbsite.daphne.doors  # noqa: E402
import arbsite.daphne.pacing  # noqa: E402
import arbsite.daphne.sockets  # noqa: E402
import arbsite.daphne.vitals  # noqa: E402, F401
from accounts.access import rights  # noqa: E402
from accounts.mfa import second_factor  # noqa: E402
from arbsite.auth import AllowedOrigin, SocketAuth, no_such_socket  # noqa: E402
from arbsite.middleware.prefix import under  # noqa: E402
from monitoring.routing import websocket_urlpatterns as of_health  # noqa: E402
from realtime.routing import websocket_urlpatterns as of_prices  # noqa: E402

rights.further.append(second_factor.objections)

addresses = URLRouter([*of_prices, *of_health, re_path("", cast(Any, no_such_socket))])
sockets = AllowedOrigin(CookieMiddleware(SocketAuth(addresses)))
application = under(settings.URL_PREFIX, ProtocolTypeRouter({"http": pages, "websocket": sockets}))

# The program itself stays: traversing it again and again would stop all sockets for 50 ms each time.
gc.collect()
gc.freeze()
