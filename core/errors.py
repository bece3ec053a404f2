"""Errors that every door answers in words."""


class InvalidConfig(Exception):
    """The rows in the database make no usable configuration; the message names row, field and remedy."""
