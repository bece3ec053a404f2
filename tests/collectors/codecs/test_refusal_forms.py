"""A refusal is known in whatever form an exchange puts it, and nothing that says no counts as taken."""

import json
from typing import Any

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Control
from collectors.sockets.refusals import is_busy
from tests.support.exchanges.codec_frames import SYMBOLS, gzipped

BTC = {
    "okx": {"channel": "bbo-tbt", "instId": "BTC-USDT"},
    "bitget": {"channel": "books1", "instId": "BTCUSDT"},
}
"""The quote topic as the argument of an answer."""


def answers(exchange: str, message: Any) -> list[Control]:
    text = json.dumps(message, separators=(",", ":"))
    frame = gzipped(text) if exchange == "bingx" else text
    return [event for event in CODECS[exchange](SYMBOLS).decode(frame) if isinstance(event, Control)]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("binance", {"error": "Too many requests", "id": 1}, "Too many requests"),
    ("binance", {"error": {"code": 1, "msg": None}, "id": 1}, "code 1"),
    ("binance", {"error": {"code": -1003, "msg": {"text": "banned"}}, "id": 1}, '{"text":"banned"}'),
    ("bybit", {"ret_code": 10001, "ret_msg": "params error", "req_id": "1"}, "params error"),
    ("bybit", {"success": False, "ret_msg": None, "req_id": "1"}, ""),
    ("bybit", {"success": False, "ret_msg": ["a"], "req_id": "1"}, '["a"]'),
    ("bybit", {"retCode": 10006, "retMsg": "Too many visits!", "reqId": "1"}, "Too many visits!"),
    ("mexc", {"id": 0, "code": 30000}, "code 30000"),
    ("mexc", {"id": 0, "code": "BUSY", "msg": ["x"]}, '["x"]'),
    ("gate", {"channel": "spot.trades", "event": "subscribe", "id": 1, "error": "busy"}, "busy"),
    ("gate", {"channel": "spot.trades", "event": "subscribe", "id": 1, "result": {"status": "fail"}},
     "code fail"),
    ("gate", {"channel": "spot.trades", "event": "subscribe", "id": 1, "error": {"code": 2, "message": None}},
     "code 2"),
    ("gate", {"label": "TOO_MANY_REQUESTS", "message": "Rate limit exceeded"}, "Rate limit exceeded"),
    ("gate", {"header": {"status": "429"}, "data": {"errs": {"label": "X", "message": "slow"}}}, "slow"),
    ("kucoin", {"code": "429000", "msg": "Too Many Requests"}, "Too Many Requests"),
    ("kucoin", {"id": "1", "type": "error", "code": 404, "data": None}, "code 404"),
    ("kucoin", {"id": "1", "type": "error", "code": 400, "data": {"a": 1}}, '{"a":1}'),
    ("okx", {"event": "channel-conn-count-error", "channel": "bbo-tbt", "connCount": "30"},
     "channel-conn-count-error"),
    ("okx", {"event": "error", "code": "60012", "msg": None}, "code 60012"),
    ("okx", {"code": "50011", "msg": "Too Many Requests", "data": []}, "Too Many Requests"),
    ("okx", {"event": "error", "arg": BTC["okx"], "code": "60018", "msg": "no"}, "no"),
    ("bitget", {"event": "error", "arg": "x", "code": 30006, "msg": "request too many"}, "request too many"),
    ("bitget", {"event": "subscribe", "arg": BTC["bitget"], "code": 30006, "msg": "request too many"},
     "request too many"),
    ("bitget", {"code": "40010", "msg": "Request timed out"}, "Request timed out"),
    ("bingx", {"id": "1", "success": False, "msg": "no"}, "no"),
    ("bingx", {"id": "1", "code": 80015, "msg": {"a": 1}, "dataType": None, "data": ""}, '{"a":1}'),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "message", "reason"), REFUSALS, ids=str)
def test_a_no_is_a_refusal_with_its_reason(exchange: str, message: dict[str, Any], reason: str) -> None:
    (control,) = answers(exchange, message)
    assert (control.kind, control.message) == ("error", reason)
    asked = message.get("id", message.get("req_id", message.get("reqId")))
    assert control.request_id == (None if exchange == "mexc" or asked is None else str(asked))


@pytest.mark.parametrize("exchange", ["okx", "bitget"])
def test_a_refusal_that_has_the_argument_is_about_that_topic(exchange: str) -> None:
    (control,) = answers(exchange, {"event": "error", "arg": BTC[exchange], "code": 30006, "msg": "no"})
    assert control.topics == (":".join(BTC[exchange].values()),)


def test_a_yes_of_bybit_that_names_what_failed_refuses_that_and_takes_the_rest() -> None:
    data = {"failTopics": ["orderbook.1.BTCUSDT"], "successTopics": ["publicTrade.BTCUSDT"]}
    error, ack = answers("bybit", {"success": True, "ret_msg": "", "req_id": "1", "data": data})
    assert (error.kind, error.request_id, error.topics) == ("error", "1", ("orderbook.1.BTCUSDT",))
    assert (ack.kind, ack.request_id, ack.topics) == ("ack", "1", ())


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        ("gate", {"channel": "spot.trades", "event": "subscribe", "id": 1, "result": {"status": "success"}}),
        ("bitget", {"event": "subscribe", "arg": BTC["bitget"], "code": 0, "msg": ""}),
        ("okx", {"event": "subscribe", "arg": BTC["okx"], "code": "0", "msg": None}),
        ("bingx", {"id": "1", "code": 0, "msg": "SUCCESS", "dataType": "BTC-USDT@trade", "data": {}}),
        ("kucoin", {"id": "1", "type": "ack", "code": "200000"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_yes_with_a_code_of_success_is_a_yes(exchange: str, message: dict[str, Any]) -> None:
    (control,) = answers(exchange, message)
    assert control.kind == "ack"


@pytest.mark.parametrize(
    "reason", ["exceed max permits per second", "request over limit,connection close", "Rate limit exceeded",
               "Systems are overloaded", "temporarily unavailable"],
)  # fmt: skip
def test_words_that_mean_not_now_are_not_asked_again_in_pieces(reason: str) -> None:
    assert is_busy(reason)
