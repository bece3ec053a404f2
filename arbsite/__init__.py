"""Parts that make one desk of the packages: settings, programs, sign-in, and the web process."""

import os

# A process that imports anything of this package runs the desk by its settings, unless it says otherwise.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")
