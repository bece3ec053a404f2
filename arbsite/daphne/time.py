"""Daphne times its connections by a clock that nobody sets.

Its modules ask `time.time()` how long a socket has been open and silent: set forward by a day, that would
close every socket at once, and set back, no silent one would be pinged until the clock is there again. All
they do with it is to subtract it from itself.

Importing this module (arbsite.daphne.sockets does) is all that is needed.
"""

import time
from types import SimpleNamespace

from daphne import http_protocol, server, ws_protocol

for _module in (http_protocol, server, ws_protocol):
    _module.time = SimpleNamespace(time=time.monotonic)
