"""Answers, errors, heartbeats and notices of each exchange, on hand-written frames."""

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Control
from tests.support.exchanges.codec_frames import SYMBOLS, gzipped

MEXC_BTC = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
MEXC_NOPE = "spot@public.aggre.deals.v3.api.pb@100ms@NOPEUSDT"


@pytest.mark.parametrize(
    ("exchange", "frame", "control"),
    [
        ("binance", '{"result":null,"id":3}', Control("ack", "3")),
        ("binance", '{"result":["btcusdt@trade"],"id":"x"}', Control("ack", "x")),
        ("binance", '{"id":3,"status":200,"result":{"a":1.5}}', Control("ack", "3")),
        (
            "binance",
            '{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":3}',
            Control("error", "3", message="Invalid request: invalid stream"),
        ),
        (
            "binance",
            '{"code":1,"msg":"Invalid value","id":3}',
            Control("error", "3", message="Invalid value"),
        ),
        (
            "bybit",
            '{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"3","op":"subscribe"}',
            Control("ack", "3", message="subscribe"),
        ),
        ("bybit", '{"success":true,"ret_msg":"","conn_id":"c","op":"subscribe"}', Control("ack")),
        (
            "bybit",
            '{"success":false,"ret_msg":"error:handler not found","req_id":"3","op":"subscribe"}',
            Control("error", "3", message="error:handler not found"),
        ),
        (
            "bybit",
            '{"retCode":10404,"retMsg":"op type not found","op":"x"}',
            Control("error", message="op type not found"),
        ),
        ("bybit", '{"success":true,"ret_msg":"pong","req_id":"3","op":"ping"}', Control("pong", "3")),
        ("bybit", '{"op":"pong","args":["1700000000123"]}', Control("pong")),
        (
            "mexc",
            f'{{"id":0,"code":0,"msg":"{MEXC_BTC},{MEXC_NOPE}"}}',
            Control("ack", topics=(MEXC_BTC, MEXC_NOPE)),
        ),
        ("mexc", '{"id":0,"code":0,"msg":"PONG"}', Control("pong")),
        ("mexc", '{"id":0,"code":1,"msg":"no"}', Control("error", message="no")),
        (
            "mexc",
            f'{{"id":0,"code":0,"msg":"Not Subscribed successfully! [{MEXC_BTC}].  Reason： Blocked! "}}',
            Control(
                "error",
                topics=(MEXC_BTC,),
                message=f"Not Subscribed successfully! [{MEXC_BTC}].  Reason： Blocked!",
            ),
        ),
        (
            "gate",
            '{"time":1,"id":3,"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"],'
            '"result":{"status":"success"}}',
            Control("ack", "3"),
        ),
        (
            "gate",
            '{"time":1,"id":3,"channel":"spot.trades","event":"subscribe","payload":["NOPE_USDT"],'
            '"error":{"code":2,"message":"unknown currency pair: NOPE_USDT"},"result":{"status":"fail"}}',
            Control("error", "3", message="unknown currency pair: NOPE_USDT"),
        ),
        (
            "gate",
            '{"error":{"code":2,"message":"unknown currency pair X"},"result":{"status":"fail"}}',
            Control("error", message="unknown currency pair X"),
        ),
        (
            "gate",
            '{"time":1,"channel":"spot.pong","event":"","error":null,"result":null}',
            Control("pong"),
        ),
        ("kucoin", '{"id":"3","type":"ack"}', Control("ack", "3")),
        ("kucoin", '{"id":"3","result":true}', Control("ack", "3")),
        ("kucoin", '{"id":"3","type":"pong","timestamp":1700000000123000}', Control("pong", "3")),
        (
            "kucoin",
            '{"id":"3","type":"error","code":404,"data":"topic does not exist"}',
            Control("error", "3", message="topic does not exist"),
        ),
        (
            "kucoin",
            '{"id":"3","result":false,"reason":"missing symbol"}',
            Control("error", "3", message="missing symbol"),
        ),
        ("kucoin", '{"id":"c","type":"welcome"}', Control("heartbeat", message="welcome")),
        (
            "okx",
            '{"id":"3","event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"connId":"c"}',
            Control("ack", "3", ("bbo-tbt:BTC-USDT",)),
        ),
        (
            "okx",
            '{"id":"3","event":"error","code":"60018","msg":"Wrong URL or channel:trades,instId:NOPE-USDT '
            'doesn\'t exist.","connId":"c"}',
            Control(
                "error",
                "3",
                ("trades:NOPE-USDT",),
                "Wrong URL or channel:trades,instId:NOPE-USDT doesn't exist.",
            ),
        ),
        ("okx", "pong", Control("pong")),
        (
            "bitget",
            '{"event":"subscribe","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"}}',
            Control("ack", topics=("books1:BTCUSDT",)),
        ),
        (
            "bitget",
            '{"event":"error","arg":{"instType":"SPOT","channel":"trade","instId":"NOPEUSDT"},"code":30001,'
            '"msg":"doesn\'t exist","op":"subscribe"}',
            Control("error", topics=("trade:NOPEUSDT",), message="doesn't exist"),
        ),
        (
            "bitget",
            '{"event":"error","code":30001,"msg":"instType:SPOT,channel:trade,instId:NOPEUSDT,precision:null '
            "doesn't exist\"}",
            Control(
                "error",
                topics=("trade:NOPEUSDT",),
                message="instType:SPOT,channel:trade,instId:NOPEUSDT,precision:null doesn't exist",
            ),
        ),
        ("bitget", "pong", Control("pong")),
        ("bingx", gzipped('{"id":"3","code":0,"msg":"","dataType":"","data":null}'), Control("ack", "3")),
        (
            "bingx",
            gzipped('{"code":0,"id":"3","msg":"SUCCESS","timestamp":1700000000123}'),
            Control("ack", "3"),
        ),
        (
            "bingx",
            gzipped('{"id":"3","code":80015,"msg":"dataType not support","dataType":"","data":null}'),
            Control("error", "3", message="dataType not support"),
        ),
        ("bingx", gzipped('{"code":100400,"msg":"","timestamp":1}'), Control("error", message="code 100400")),
        ("bingx", gzipped("Ping"), Control("ping", reply="Pong")),
        ("bingx", gzipped("ping"), Control("ping", reply="Pong")),
        ("bingx", "PING", Control("ping", reply="Pong")),
        (
            "bingx",
            gzipped('{"ping":"2177c68e4d0e45679965f482929b59c2","time":"2024-11-07T15:42:00.123+0800"}'),
            Control(
                "ping",
                reply='{"pong":"2177c68e4d0e45679965f482929b59c2","time":"2024-11-07T15:42:00.123+0800"}',
            ),
        ),
    ],
)
def test_an_answer_says_what_it_is_and_what_it_answers(
    exchange: str, frame: str | bytes, control: Control
) -> None:
    codec = CODECS[exchange](SYMBOLS)
    assert list(codec.decode(frame)) == [control]
    assert not codec.counts


def test_a_mexc_answer_may_take_one_topic_and_refuse_another() -> None:
    message = f"{MEXC_BTC},Not Subscribed successfully! [{MEXC_NOPE}].  Reason： Blocked! "
    taken, refused = CODECS["mexc"]({}).decode(f'{{"id":0,"code":0,"msg":"{message}"}}')
    assert isinstance(taken, Control)
    assert isinstance(refused, Control)
    assert (taken.kind, taken.topics) == ("ack", (MEXC_BTC,))
    assert (refused.kind, refused.topics) == ("error", (MEXC_NOPE,))


@pytest.mark.parametrize(
    ("exchange", "frame"),
    [
        ("binance", '{"e":"serverShutdown","E":1700000000123}'),
        ("binance", '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1700000000123}}'),
        (
            "okx",
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service '
            'upgrade.","connId":"c"}',
        ),
        ("gate", '{"channel":"spot.system","event":"update","result":{"type":"upgrade","msg":"soon"}}'),
    ],
)
def test_an_exchange_that_announces_the_end_of_a_connection_asks_for_a_reconnect(
    exchange: str, frame: str
) -> None:
    (control,) = CODECS[exchange](SYMBOLS).decode(frame)
    assert isinstance(control, Control)
    assert (control.kind, control.reconnect) == ("heartbeat", True)
    assert control.message


def test_any_other_okx_notice_is_no_reason_to_reconnect() -> None:
    (control,) = CODECS["okx"]({}).decode('{"event":"notice","code":"1","msg":"hello"}')
    assert isinstance(control, Control)
    assert not control.reconnect
