"""The worked examples of the protocol notes."""

from engine.books.checksum import checksum


def test_the_levels_of_both_sides_alternate() -> None:
    bids, asks = [("3366.1", "7"), ("3366", "6")], [("3366.8", "9"), ("3368", "8")]
    assert checksum(bids, asks) == -1881014294


def test_where_a_side_is_shorter_the_other_goes_on() -> None:
    assert checksum([("3366.1", "7")], [("3366.8", "9"), ("3368", "8"), ("3372", "8")]) == 831078360
    bids = [("100.5", "2"), ("100.4", "1.25"), ("100.1", "10")]
    assert checksum(bids, [("100.6", "0.5"), ("100.9", "3")]) == -850664863
