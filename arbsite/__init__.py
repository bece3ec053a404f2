"""What makes one desk of the packages: settings, programs, sign-in, and the web process."""

import os

# Whoever takes anything of this package runs the desk by its settings, unless told otherwise.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")
