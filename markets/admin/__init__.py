"""The pages of the admin; each module registers its own."""

from markets.admin import catalogue, configuration, depth, filters, gates, identity, pairs

__all__ = ["catalogue", "configuration", "depth", "filters", "gates", "identity", "pairs"]
