"""The chart book: batches applied, lost, and of a new process, against what was published."""

from hypothesis import given
from hypothesis import strategies as st

from realtime.charts.book import ChartBook
from realtime.charts.recent import Snapshot, Stored, Tail, stamped
from realtime.charts.shards import Step
from realtime.charts.wire import Batch, ChartMessage, pack
from tests.realtime.test_store import BTC, delta, points

ETH = "ETH/USDT|binance|bybit"
BEGIN_US = 1_000_000


class Publisher:
    """A shard that flushes into a book, unless the batch gets lost."""

    def __init__(self, book: ChartBook, shard: str = "1/1") -> None:
        self.book, self.shard = book, shard
        self.flush_us = BEGIN_US
        self.previous_us = 0  # a new process has none
        self.published: list[tuple[int, int]] = []  # flush and point, µs

    def flush(self, chart_id: str = BTC, count: int = 1, *, is_lost: bool = False) -> list[ChartMessage]:
        self.flush_us += 50
        stamps = [self.flush_us - count + place for place in range(count)]
        self.published += [(self.flush_us, stamp) for stamp in stamps]
        charts = [pack(delta(*((stamp, 0.1) for stamp in stamps), id=chart_id))] if count else []
        batch = Batch(self.shard, self.flush_us, self.previous_us, charts)
        self.previous_us = self.flush_us
        return [] if is_lost else self.apply(batch)

    def apply(self, batch: Batch) -> list[ChartMessage]:
        self.step: Step = self.book.follow(batch)
        return self.book.apply(batch)

    def since(self, flush_us: int) -> list[float]:
        return [float(stamp) for flush, stamp in self.published if flush > flush_us]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_a_backlog_has_every_point_published_since_it_begins_whatever_was_lost(
    flushes: list[tuple[int, bool]],
) -> None:
    publisher = Publisher(book := ChartBook())
    for count, is_lost in flushes:
        publisher.flush(count=count, is_lost=is_lost)
        if is_lost or (backlog := book.backlog(BTC)) is None:
            continue
        assert book.flushed_us(BTC) == book.shards.watermark == publisher.flush_us
        for after_us in range(backlog.from_us, publisher.flush_us, 25):
            assert backlog.after(after_us)[:, 0].tolist() == publisher.since(after_us)


@given(st.lists(st.sampled_from(["1/2", "2/2"]), max_size=20))
def test_the_watermark_is_what_every_live_shard_has_reached(turns: list[str]) -> None:
    book = ChartBook()
    shards = {name: Publisher(book, name) for name in ("1/2", "2/2")}
    for name in turns:
        shards[name].flush()
    reached = [shards[name].flush_us for name in set(turns)]
    assert book.shards.watermark == min(reached, default=0)


def test_a_lost_batch_is_a_break_that_says_from_where_on_the_store_is_wanted() -> None:
    publisher = Publisher(book := ChartBook())
    publisher.flush()
    publisher.flush()
    assert not publisher.step.is_break
    last_us = publisher.flush_us
    publisher.flush(is_lost=True)
    publisher.flush(ETH)
    assert (publisher.step.is_missing, publisher.step.last_us) == (True, last_us)
    assert book.backlog(BTC) is None, "it does not go on"
    assert book.backlog(ETH) is not None, "it begins with this flush"


def test_a_new_process_speaks_for_its_shard_alone() -> None:
    book = ChartBook()
    old, other = Publisher(book, "1/2"), Publisher(book, "2/2")
    old.flush(BTC)
    other.flush(ETH)
    new = Publisher(book, "1/2")
    new.flush_us = old.flush_us
    new.flush(count=0)
    assert (book.chart(BTC).state, book.chart(BTC).reason) == ("stale", "waiting for collector 1/2")
    assert (book.chart(ETH).state, book.chart(ETH).reason) == ("live", "")


def test_points_that_do_not_rise_are_dropped_and_those_of_a_clock_set_back_are_not() -> None:
    publisher = Publisher(ChartBook())
    first, again = 60_000_000, Batch("1/1", 60_000_100, 0, [pack(delta((60_000_000, 0.1), id=BTC))])
    assert publisher.apply(again)[0].points[:, 0].tolist() == [first]
    again = Batch("1/1", 60_000_200, 60_000_100, [pack(delta((first, 0.1), (first + 50, 0.2), id=BTC))])
    assert publisher.apply(again)[0].points[:, 0].tolist() == [first + 50]
    again = Batch("1/1", 60_000_300, 60_000_200, [pack(delta((first, 0.1), id=BTC))])
    assert len(publisher.apply(again)[0].points) == 0, "none of them rises"
    back = Batch("1/1", 1_000_000, 60_000_300, [pack(delta((900_000, 0.3), id=BTC))])
    assert publisher.apply(back)[0].points[:, 0].tolist() == [900_000]
    assert publisher.step.is_set_back
    assert publisher.book.shards.watermark == 1_000_000


def test_the_store_says_nothing_of_a_chart_that_a_batch_has_said() -> None:
    publisher = Publisher(book := ChartBook())
    publisher.flush(BTC)
    stored = {
        id: Stored(Tail("", "", "", "down", "as stored", "1/1", b""), stamped(points(), 1))
        for id in (BTC, ETH)
    }
    book.learn(Snapshot(stored, {"1/1": publisher.flush_us - 1000}))
    assert [(book.chart(id).state, book.chart(id).reason) for id in (BTC, ETH)] == [
        ("live", ""),
        ("down", "as stored"),
    ]
    assert book.shards.watermark == publisher.flush_us


def test_charts_nobody_selects_any_more_are_forgotten() -> None:
    publisher = Publisher(book := ChartBook())
    publisher.flush(BTC)
    publisher.flush(ETH)
    book.keep([ETH, "SOL/USDT|binance|bybit"])
    assert (len(book), book.of("1/1")) == (1, {ETH})
    assert book.chart(BTC).reason == "waiting for the collector"
