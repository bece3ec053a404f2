"""Addresses of the pages."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import JavaScriptCatalog

from accounts.sign_in.signing_in import SignIn
from accounts.tokens.api import tokens
from arbsite.audit_api import audit_entries

admin.site.site_url = f"{settings.URL_PREFIX}/"  # "/" would lose the slash behind the prefix

urlpatterns = [
    path("admin/login/", SignIn.as_view()),  # one door; a signed-in user who may not enter is refused there
    path("admin/password_change/", login_required(RedirectView.as_view(pattern_name="account_password"))),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("api/tokens", tokens, name="api-tokens"),
    path("jsi18n/", JavaScriptCatalog.as_view(), name="javascript-catalog"),
    path("api/audit", audit_entries, name="api-audit"),
    path("", include("realtime.urls")),
    path("", include("history.urls")),
    path("", include("opportunities.urls")),
    path("", include("monitoring.urls")),
]

handler400 = "realtime.views.bad_request"
handler404 = "realtime.views.not_found"
handler500 = "realtime.views.server_error"
