"""The adapter that a dsn names."""

from history.lake.tables import Lake
from orderbook.ml.adapters.base import MLAdapter
from orderbook.ml.adapters.lake import LakeMLAdapter
from orderbook.ml.adapters.postgres import PostgresMLAdapter


def opened(dsn: str) -> MLAdapter:
    """Open PostgreSQL (`postgresql://…`, `host=… dbname=…`) or a lake (a directory, `s3://…`).

    Raises StoreUnreadableError.
    """
    if dsn.startswith(("postgresql://", "postgres://")) or "=" in dsn:
        return PostgresMLAdapter(dsn)
    return LakeMLAdapter(Lake.at(dsn))
