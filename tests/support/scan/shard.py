"""A collector's shard as the scanner of a web process receives it through Redis."""

import time

import numpy as np
from redis import Redis

from markets.config import MarketConfig
from realtime.scanner import wire as scan_wire
from tests.support.scan.data import scan_of


class Shard:
    """One shard's legs in Redis, as its collector would write them."""

    def __init__(self, redis: Redis, config: MarketConfig) -> None:
        self.redis = redis
        prices = {(leg.exchange, leg.symbol): 100.0 for leg in config.listings}
        self.scan = scan_of(config, prices)
        self.place = {(leg.exchange, leg.symbol): n for n, leg in enumerate(self.scan.directory.legs)}
        self.seq = 1
        self.write_state()

    def write_state(self) -> None:
        """Write the state that a newcomer reads first."""
        state = scan_wire.State(1, self.seq, time.time_ns() // 1000, self.scan.legs.tobytes())
        evidence = scan_wire.State(1, self.seq, state.ts_us, self.scan.pairs.tobytes())
        parts = {"directory": self.scan.directory, "state": state, "evidence": evidence}
        self.redis.hset(scan_wire.SCANS, "1/1", state.ts_us)
        self.redis.hset(
            scan_wire.state_key("1/1"),
            mapping={name: scan_wire.encode(part) for name, part in parts.items()},
        )

    def quote(self, exchange: str, bid: float, symbol: str = "BTC/USDT") -> None:
        """A frame with one changed leg."""
        row = self.scan.legs[self.place[exchange, symbol]]
        row["bid"], row["ask"] = bid, bid * 1.0001
        self.frame([self.place[exchange, symbol]])

    def frame(self, changed: list[int]) -> None:
        """A frame with these legs; none is a sign of life."""
        self.seq += 1
        self.write_state()
        rows = self.scan.legs[changed].tobytes()
        indices = np.array(changed, "<u4").tobytes()
        frame = scan_wire.Frame("1/1", 1, self.seq, self.seq - 1, time.time_ns() // 1000, indices, rows)
        self.redis.publish(scan_wire.FRAMES, scan_wire.encode(frame))
