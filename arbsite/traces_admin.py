"""The traces of signing in, which axes keeps, on pages like all others: what is deleted there is recorded."""

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin

from audit.guarded import GuardedAdmin

for _model in (AccessAttempt, AccessLog, AccessFailureLog):
    _theirs = type(admin.site._registry[_model])
    admin.site.unregister(_model)
    admin.site.register(_model, type(_theirs.__name__, (GuardedAdmin, _theirs), {}))
