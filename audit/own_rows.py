"""Pages of the admin with rows that belong to users: each sees their own."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest

from audit.guarded import GuardedAdmin


class OwnRowsAdmin(GuardedAdmin):
    """Shows the rows whose `user` is the one who asks; everybody's to those with one right more."""

    sees_everybodys: ClassVar[str]
    """That right, like `auth.change_user`."""

    @classmethod
    def known_to(cls, user: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Rows that a user may know of."""
        return rows if user.has_perm(cls.sees_everybodys) else rows.filter(user=user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Limit every page to the user's own rows: list, form, history, deletion."""
        return self.known_to(request.user, super().get_queryset(request))

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Other users are not offered to filter by where their rows are not shown."""
        filters = super().get_list_filter(request)
        user: Any = request.user
        return (
            filters if user.has_perm(self.sees_everybodys) else [each for each in filters if each != "user"]
        )

    def say_who_deleted(self, request: HttpRequest, object_id: str) -> None:
        """Say it, but not of rows of others."""
        user: Any = request.user
        if user.has_perm(self.sees_everybodys):
            super().say_who_deleted(request, object_id)
