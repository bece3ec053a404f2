"""Depth through its doors: the API, a user's own size, and what docs/depth.md and docs/messages.md say."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from msgspec import convert
from redis import Redis

from accounts.my_size import MySize
from core.web.acks import Ack
from markets.models import Instrument
from markets.selectors import load_config
from realtime.depth.messages import Show, decode_depth_message, encoded
from realtime.depth.pair import PairDepth
from tests.realtime.depth.ladders import DepthShard, ladder
from tests.support.scan.shard import Shard

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(settings.BASE_DIR) / "docs"
PAIR = "BTC/USDT|bybit|okx"
PATH = "/api/depth"


@pytest.fixture
def desk(transactional_db: None, empty_redis: Redis) -> Redis:
    """Both books of a pair; its edge is 3 % before fees."""
    call_command("seed")
    Shard(empty_redis, load_config()).quote("okx", 103.0)
    DepthShard(
        empty_redis,
        ladder(("bybit", "BTC/USDT"), [(100.0, 1.0)], [(100.01, 1.0), (100.5, 9.0)]),
        ladder(("okx", "BTC/USDT"), [(103.0, 2.0), (102.5, 9.0)], [(103.01, 1.0)]),
    )
    return empty_redis


def ask(client: Client, query: str, status: int = 200) -> dict[str, Any]:
    response = client.get(f"{PATH}?{query}")
    assert response.status_code == status, response.content
    answer: dict[str, Any] = response.json()
    return answer


class TestApi:
    @pytest.fixture(autouse=True)
    def _desk(self, desk: Redis) -> None:
        """All of these need the desk."""

    @pytest.mark.parametrize(
        "query", [f"id={PAIR}", "id=BTC/USDT|okx|bybit", "symbol=btcusdt&exchange1=Bybit&exchange2=OKX"]
    )
    def test_a_pair_by_its_id_or_its_names(self, operator_client: Client, query: str) -> None:
        pair = ask(operator_client, f"{query}&size=500")["pair"]
        assert (pair["id"], pair["size"], pair["money"]) == (PAIR, 500.0, 500.0)
        way = pair["ways"][0]
        assert (way["buy"], way["of"]) == (0, "book")
        assert way["at_size"]["quote"] == pytest.approx(500.0)
        assert way["at_size"]["profit"] > 0

    def test_without_a_size_it_is_the_user_s_own_or_a_thousand(self, operator_client: Client) -> None:
        assert ask(operator_client, f"id={PAIR}")["pair"]["size"] == 1000.0
        keep(operator_client, "250")
        assert ask(operator_client, f"id={PAIR}")["pair"]["size"] == 250.0
        streamed: Any = operator_client.get("/api/scanner.csv?search=BTC")
        lines = async_to_sync(whole)(streamed.streaming_content)
        rows = list(csv.DictReader(io.StringIO(lines)))
        (row,) = (each for each in rows if (each["buy_on"], each["sell_on"]) == ("bybit", "okx"))
        assert (row["my_size_usdt"], row["size_of"], row["size_reached"]) == ("250.0", "book", "250.0")
        assert float(row["edge_at_size_bps"]) > 200

    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ("size=0", 400, "size: '0'"),
            ("size=nan", 400, "size"),
            ("", 400, "symbol: say which"),
            (f"id={PAIR}&colour=red", 400, "colour"),
            ("symbol=BTC/USDT&exchange1=bybit&exchange2=okx:swap", 404, "is not compared"),
        ],
    )
    def test_what_is_not_possible_is_refused_in_words(
        self, operator_client: Client, query: str, status: int, words: str
    ) -> None:
        assert words in ask(operator_client, query, status)["error"]


async def whole(pieces: AsyncIterator[bytes]) -> str:
    return b"".join([piece async for piece in pieces]).decode()


def keep(client: Client, size: str) -> str:
    page = client.post("/accounts/my-size/", {"size": size}, follow=True)
    return page.content.decode()


@pytest.mark.parametrize("size", ["0", "-5", "many", "1e99"])
def test_a_size_that_is_none_is_refused_at_its_field(operator_client: Client, size: str) -> None:
    assert 'role="alert"' in keep(operator_client, size)
    assert not MySize.objects.exists()


def test_a_size_is_kept_changed_and_given_up(operator_client: Client) -> None:
    for size in ("1000", "2500.50"):
        assert "Your size is kept." in keep(operator_client, size)
        assert str(MySize.objects.get().size) == f"{float(size):.2f}"
    assert "You have no size of your own now." in keep(operator_client, "")
    assert not MySize.objects.exists()


@pytest.mark.usefixtures("desk")
class TestFollow:
    WANTED: ClassVar = {"exchange": "okx", "symbol": "BTC/USDT"}

    def post(self, client: Client, **wanted: Any) -> Any:
        return client.post("/api/depth/follow", wanted, content_type="application/json")

    def is_pinned(self) -> bool:
        return Instrument.objects.get(exchange__key="okx", symbol__name="BTC/USDT").depth_pinned

    def test_an_operator_pins_a_book_and_unpins_it(self, operator_client: Client) -> None:
        assert self.post(operator_client, **self.WANTED).json() == {**self.WANTED, "follow": True}
        assert self.is_pinned()
        assert ("okx", "BTC/USDT") in load_config().depth.instruments
        self.post(operator_client, **self.WANTED, follow=False)
        assert not self.is_pinned()

    def test_who_may_not_change_instruments_may_not(self, client: Client) -> None:
        client.force_login(User.objects.create_user("viewer"))
        assert self.post(client, **self.WANTED).status_code == 403
        assert not self.is_pinned()

    def test_an_instrument_there_is_not_is_named(self, operator_client: Client) -> None:
        answer = self.post(operator_client, exchange="okx:swap", symbol="NO/SUCH")
        assert (answer.status_code, "okx:swap has no instrument" in answer.json()["error"]) == (404, True)


class TestContract:
    def test_the_documented_answer_is_one(self) -> None:
        block = re.search(r"```json\n(.*?)```", (DOCS / "depth.md").read_text(), re.DOTALL)
        assert block is not None
        documented = json.loads(block[1])
        assert json.loads(encoded(convert(documented["pair"], PairDepth))) == documented["pair"]

    def test_the_documented_view_is_understood(self) -> None:
        text = (DOCS / "messages.md").read_text().split("## The depth page's socket")[1]
        found = re.search(r'`(\{"type": "view".*?\})`', text)
        assert found is not None
        assert decode_depth_message(found[1].replace("\\|", "|")) == Show(id=PAIR, size=1000.0)
        assert decode_depth_message('{"type": "ack", "seq": 5}') == Ack(5)

    @pytest.mark.parametrize(
        "text",
        [
            '{"type":"view"}',
            '{"type":"view","id":"a","size":0}',
            '{"type":"view","id":"a","x":1}',
            "nonsense",
        ],
    )
    def test_what_is_not_in_it_is_refused_in_words(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"docs/messages\.md"):
            decode_depth_message(text)
