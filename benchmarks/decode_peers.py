"""Cost of a frame from its bytes to a checked event in the book, beside cryptofeed, ccxt.pro and nautilus.

    .venv/bin/python benchmarks/decode_peers.py [--peers DIRECTORY]

Every peer runs in a process and a virtualenv of its own, made (and kept) in the directory; one that
cannot be installed is left out, and said so. All take turns on the same frames in one run: CPU time,
median of the turns, so read the ratios. The frames are the recorded ones of ../shared/wire where they
are there, else invented ones in the same form; kinds with few of them are repeated under other names.
The last line is a JSON object with every figure, its target and whether it is met.
"""

import argparse
import base64
import gzip
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from collectors.display import guessed_symbol
from collectors.exchanges import CODECS
from collectors.exchanges.bingx import inflated
from core.names.symbols import base_of
from tests.support.exchanges.codec_frames import QUOTES, TRADES

ROOT: Final = Path(__file__).resolve().parent.parent

PEERS: Final = {
    "cryptofeed": ("cryptofeed==2.4.1", 3.5),
    "ccxt.pro": ("ccxt==4.5.90", 25.0),
    "nautilus": ("nautilus_trader==1.221.0", 10.0),
}
"""What to install for each, and how many times dearer than ours it is to be."""

FRAMES_PER_TURN: Final = {"ours": 8000, "cryptofeed": 4000, "nautilus": 2000, "ccxt.pro": 600}
TURNS: Final = 11

# Of each exchange: the topics that carry quotes or trades, by what stands in their frames.
TOPICS: Final = {
    "binance": {"bookTicker": "@bookTicker", "trade": "@trade"},
    "bybit": {"orderbook.1": "orderbook.1", "publicTrade": "publicTrade"},
    "okx": {"bbo-tbt": "bbo-tbt", "tickers": '"tickers"', "trades": '"trades"'},
    "gate": {"book_ticker": "spot.book_ticker", "trades": "spot.trades"},
    "kucoin": {"level1": "/spotMarket/level1", "ticker": "/market/ticker", "match": "/market/match"},
    "bitget": {"books1": "books1", "ticker": '"ticker"', "trade": '"trade"'},
    "bingx": {"bookTicker": "", "trade": ""},
    "mexc": {"bookTicker": "", "deals": ""},
}
OTHER_COINS: Final = ("XRP", "ADA", "DOT", "LTC", "TRX", "UNI", "FIL")

Kind = dict[str, Any]


def kinds() -> list[Kind]:
    """Every kind of frame, with frames of several symbols."""
    found = []
    for exchange, topics in TOPICS.items():
        for topic, mark in topics.items():
            is_trade = topic == list(topics)[-1]
            files = ("trade",) if is_trade else ("book_ticker", "ticker")
            frames = _recorded(exchange, files, mark.encode())
            invented = (TRADES if is_trade else QUOTES)[exchange]
            plain = inflated(invented.encode() if isinstance(invented, str) else invented)
            assert isinstance(plain, bytes)
            if not frames and mark.encode() in plain:
                frames = [plain]
            if frames:
                found.append(_kind(exchange, topic, frames))
    return found


def _recorded(exchange: str, files: tuple[str, ...], mark: bytes) -> list[bytes]:
    """Recorded frames as on the wire (BingX: before it was zipped); else those others wrote down."""
    recorded: list[bytes] = []
    written: list[bytes] = []
    for name in files:
        path = ROOT.parent / "shared" / "wire" / "visible" / exchange / "spot" / f"{name}.jsonl"
        for text in path.read_bytes().splitlines() if path.is_file() else ():
            line = json.loads(text)
            frame = _bytes(line["payload"])
            if line["dir"] == "recv" and mark in frame:
                (recorded if line["kind"] == "recorded" else written).append(frame)
    return recorded or written


def _bytes(payload: Any) -> bytes:
    if isinstance(payload, dict) and "b64" in payload:
        return base64.b64decode(payload["b64"])
    text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
    return text.encode()


class _Names(dict[str, str]):
    """Every native id stands for a symbol, and is remembered."""

    def __missing__(self, native: str) -> str:
        self[native] = guessed_symbol(native) or native
        return self[native]


def _kind(exchange: str, topic: str, frames: list[bytes]) -> Kind:
    """The frames that give an event; where all are of one symbol, the same again for others."""
    names = _Names()
    codec = CODECS[exchange](names)
    good = [frame for frame in frames if codec.decode(frame)]
    if len(names) == 1 and exchange != "mexc":  # protobuf counts letters
        coin = base_of(next(iter(names.values())))
        good += [_renamed(frame, coin, other) for frame in good for other in OTHER_COINS]
        for frame in good:
            assert codec.decode(frame)
    if exchange == "bingx":
        good = [gzip.compress(frame) for frame in good]
    return {
        "name": f"{exchange} {topic}",
        "exchange": exchange,
        "frames": [base64.b64encode(frame).decode() for frame in good],
        "symbols": dict(names),
    }


def _renamed(frame: bytes, coin: str, other: str) -> bytes:
    frame = frame.replace(coin.encode(), other.encode())
    return frame.replace(coin.lower().encode(), other.lower().encode())


class Side:
    """A process that decodes with one library."""

    def __init__(self, name: str, python: Path, everything: list[Kind]) -> None:
        self.name = name
        self._frames = {kind["name"]: len(kind["frames"]) for kind in everything}
        self._process = subprocess.Popen(
            [python, Path(__file__).parent / "support" / "decode_peer.py", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.kinds: list[str] = self._ask({"kinds": everything})
        self.costs: dict[str, list[float]] = {kind: [] for kind in self.kinds}

    def turn(self, kind: str) -> None:
        """Decode some thousand frames and note the µs per frame."""
        frames = self._frames[kind]
        rounds = max(1, FRAMES_PER_TURN[self.name] // frames)
        self.costs[kind].append(self._ask({"kind": kind, "rounds": rounds}) / rounds / frames * 1e6)

    def cost(self, kind: str) -> float:
        """µs per frame; the first turn warms up."""
        return median(self.costs[kind][1:])

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


def installed(name: str, requirement: str, directory: Path) -> Path | None:
    """The Python of a peer's own virtualenv; None when it cannot be installed."""
    home = directory / requirement.replace("==", "-")
    python = home / "bin" / "python"
    if (home / "installed").is_file():
        return python
    print(f"Installing {requirement} …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        subprocess.run(pip, check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{name} is left out, it could not be installed: {error}")
        return None
    (home / "installed").touch()
    return python


def measure(peers: Path) -> tuple[Side, list[Side]]:
    """Ours and the peers after all their turns."""
    everything = kinds()
    with ExitStack() as stack:
        sides = [Side("ours", Path(sys.executable), everything)]
        for name, (requirement, _target) in PEERS.items():
            if python := installed(name, requirement, peers):
                sides.append(Side(name, python, everything))
        for side in sides:
            stack.callback(side.close)
        for _ in range(TURNS):
            for kind in everything:
                for side in sides:
                    if kind["name"] in side.kinds:
                        side.turn(kind["name"])
    return sides[0], sides[1:]


def main() -> None:
    """Print a table and the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--peers", type=Path, default=Path(tempfile.gettempdir()) / "arbdesk-peers",
        help="where the peers' virtualenvs are kept (default: %(default)s)",
    )  # fmt: skip
    ours, peers = measure(arguments.parse_args().peers)
    print(f"{'frame':22} {'ours µs':>8}" + "".join(f" {peer.name + ' µs':>14} {'x':>6}" for peer in peers))
    figures: dict[str, dict[str, Any]] = {}
    for kind in ours.kinds:
        row = f"{kind:22} {ours.cost(kind):8.3f}"
        for peer in peers:
            if kind not in peer.kinds:
                row += f" {'-':>14} {'':6}"
                continue
            ratio, target = peer.cost(kind) / ours.cost(kind), PEERS[peer.name][1]
            row += f" {peer.cost(kind):14.3f} {ratio:6.1f}"
            figures[f"{kind}, {peer.name} times dearer"] = {
                "value": round(ratio, 2), "target": target, "met": ratio >= target,
            }  # fmt: skip
        print(row)
    print(json.dumps({"benchmark": "decode_peers", "figures": figures}))


if __name__ == "__main__":
    main()
