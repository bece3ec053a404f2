"""Depth: which order books are followed, and how each is kept equal to its exchange's."""

from collectors.books.live import BookKey as BookKey
from collectors.books.live import LiveBooks as LiveBooks
from collectors.books.live import ReadsBooks as ReadsBooks
