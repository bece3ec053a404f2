"""The pages of the admin; each module registers its own."""

from markets.admin import catalogue, configuration, gates, identity

__all__ = ["catalogue", "configuration", "gates", "identity"]
