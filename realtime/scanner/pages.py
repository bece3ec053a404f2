"""The pages that viewers of the scanner see: rows in order, made once for all who ask the same."""

import asyncio
from collections.abc import Collection
from typing import Final

from realtime.scanner.book import ScanBook
from realtime.scanner.messages import Page, Show, make_page
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query, View

SORT_EVERY_S: Final = 1.0


class Pages:
    """Views (a query's rows in order) and pages of them, as of the newest refresh of the book."""

    def __init__(self, book: ScanBook) -> None:
        self.book = book
        self._views: dict[Query, View] = {}
        self._pages: dict[Show, Page] = {}

    def __len__(self) -> int:
        return len(self._views)

    def clear(self) -> None:
        """Forget everything: nobody looks any more."""
        self._views.clear()
        self._pages.clear()

    def adopt(self, table: ScanTable) -> None:
        """Go on with a table of another configuration, as of now."""
        self.book.adopt(table)
        self._views.clear()
        self.refresh()

    def refresh(self) -> None:
        """Compute the table as of now; pages are made of it when somebody asks."""
        self.book.refresh()
        self._pages.clear()

    async def sort(self, wanted: Collection[Query]) -> None:
        """Rows may change places now, in the views that are wanted; the others are forgotten."""
        self._views = {query: view for query, view in self._views.items() if query in wanted}
        for view in list(self._views.values()):
            if self.book.now_s - view.sorted_s >= SORT_EVERY_S:
                view.sort()
                await asyncio.sleep(0)

    def page(self, show: Show) -> Page:
        """The rows this asks for."""
        page = self._pages.get(show)
        if page is None:
            place = slice(show.offset, show.offset + show.limit)
            view = self._view(show.query)
            page = make_page(view, place, self.book.collectors(), self.book.now_us())
            self._pages[show] = page
        return page

    def _view(self, query: Query) -> View:
        view = self._views.get(query)
        if view is None:
            view = self._views[query] = View(self.book.table, query)
        return view
