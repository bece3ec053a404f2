"""Item 13: wrong input is refused by name; only an outage is an outage."""

from contextlib import suppress
from typing import Final

import aiohttp

from attack.scene import Scene, attack, insist

ODD: Final = (
    "/api/dashboard_data?start=9999-12-31T23:59:59&end=99999999999999999999",
    "/api/dashboard_data?start=-1e308&end=1e308",
    "/api/dashboard_data?start=0001-01-01T00:00:00%2B14:00&end=2026-01-01",
    "/api/dashboard_data?start=nan",
    "/api/dashboard_data?points=1e400",
    "/api/dashboard_data?symbol=BTC/USDT%00&exchange1=binance&exchange2=bybit",
    "/api/charts?filter=%00",
    "/api/charts?filter=99999999999999999999999999",
    "/api/history/states?exchange=%00&symbol=%00",
    "/api/opportunities?start=9999-12-31T23:59:59.999999-14:00",
    "/api/opportunities/distributions?zone=Mars/Olympus",
    "/api/opportunities/distributions?zone=../../etc/passwd",
    "/api/opportunities/ticks?id=%00",
    "/api/scanner.csv?sort=%00",
    "/api/funding?sort=%00",
    "/api/history/funding?exchange=%00&symbol=%00",
    "/api/scanner.csv?search=" + "a" * 5000,
    "/api/rolling_window_data?symbol=%ff%fe",
    "/api/health/graph?name=%00",
)
LISTS: Final = (
    "/admin/markets/exchange/?q=%00",
    "/admin/markets/exchange/?o=99999999999999999999",
    "/admin/auth/user/?date_joined__year=99999999",
    "/admin/monitoring/delivery/?created_at__year=0&created_at__month=13",
)


@attack(13, "odd dates, zones, NUL and numbers in every parameter")
async def odd_input(scene: Scene) -> None:
    """No 500, no 503; of the APIs a 4xx that says why."""
    wrong = []
    for path in ODD:
        status = (await scene["low"].get(path)).status
        wrong += [f"{path[:70]} answers {status}"] if not 400 <= status < 500 else []
    for path in LISTS:
        status = (await scene["root"].get(path)).status
        wrong += [f"{path} answers {status}"] if status >= 500 else []
    insist(not wrong, "; ".join(wrong))


@attack(13, "numbers of 400 digits in the admin")
async def long_numbers(scene: Scene) -> None:
    """A form says which field is wrong."""
    for path in ("/admin/markets/exchange/add/", "/admin/monitoring/alertchannel/add/"):
        digits = "9" * 400
        values = {"taker_fee_bps": digits} if "exchange" in path else {"port": digits, "per_minute": digits}
        answer = await scene["root"].fill_in(path, **values)
        insist(answer.status in (200, 400), f"{path} answers {answer.status}")


@attack(13, "sixty knocks at sockets that are none")
async def no_such_sockets(scene: Scene) -> None:
    """Each is refused, and the log does not grow with them."""
    before = len(scene.desk.log("web"))
    for n in range(60):
        with suppress(aiohttp.ClientError):
            await (await scene["low"].socket(f"/ws/none/{n}")).close()
    grown = scene.desk.log("web")[before:]
    # Others cause some at the same time.
    insist(grown.count("Traceback") < 20, f"{grown.count('Traceback')} tracebacks of them")
    insist(len(grown) < 100_000, f"the log grew by {len(grown):,} characters")
