"""The addresses of one's own account, below /accounts/."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from accounts import views
from accounts.mfa import views as second_factor_views
from accounts.sign_in.signing_in import SignIn

urlpatterns = [
    path("login/", SignIn.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("confirm/", views.Confirm.as_view(), name="confirm"),
    path("sessions/", views.Sessions.as_view(), name="account_sessions"),
    path("sessions/<int:number>/end/", views.EndSession.as_view(), name="end_session"),
    path("sessions/end-others/", views.EndOtherSessions.as_view(), name="end_other_sessions"),
    path("password/", views.Password.as_view(), name="account_password"),
    path("my-size/", views.Size.as_view(), name="my_size"),
    path("second-factor/", second_factor_views.SecondFactor.as_view(), name="second_factor"),
    path("second-factor/check/", second_factor_views.Check.as_view(), name="second_factor_check"),
    path("second-factor/set-up/", second_factor_views.SetUp.as_view(), name="second_factor_set_up"),
    path("second-factor/codes/", second_factor_views.RecoveryCodes.as_view(), name="recovery_codes"),
    path("second-factor/do-without/", second_factor_views.DoWithout.as_view(), name="do_without"),
]
