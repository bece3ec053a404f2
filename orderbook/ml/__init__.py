"""Market data for machine learning: second bars and features, point in time (docs/ml.md).

Needs requirements-ml.txt; nothing of the desk that runs imports it.
"""

from orderbook.ml.loader import MLDataLoader

__all__ = ["MLDataLoader"]
