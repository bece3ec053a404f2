"""Input of a stranger: values that no parameter takes, and the ways they are sent."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

DIGITS: Final = "9" * 400

VALUES: Final = (
    "", " ", "0", "-1", DIGITS, f"-{DIGITS}", f"0.{DIGITS}", "1e999", "-1e999", "nan", "inf", "-inf",
    "Infinity",
    "1_000", "0x10", "1e-400", "٣", "²", "2147483648", "9223372036854775808", "1.5", "true", "null", "None",
    "0001-01-01", "9999-12-31", "0000-00-00", "2026-02-31", "10000-01-01", "-0001-01-01",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-01-01T25:00:00Z", "2026-01-01T00:00:00+99:99", "2026-W01-1", "1e18",
    "-1e18",
    "253402300800", "-62135596801", "99999999999999999999", "now", "UTC", "Europe/Nowhere",
    "../../etc/passwd",
    "/etc/localtime", "Etc/GMT+99", "posixrules", "\0", "a\0b", "\x1b[31m", "\u202e", "\ud7ff", "\ufeff",
    "\u2028",
    "'", '"', "\\", "%", "%s", "%00", "{}", "{0}", "${x}", "<script>", "a|b", "a|b|c", "|||", "a,b,,c", ",",
    ";", "*",
    "(" * 200, "[" * 200, "(a+)+$", "a" * 5000, "/", "//", "..", "BTC/USDT|binance|bybit|x", "__", "__exact",
    "pk", "-pk", "?", "#", "\n", "\r\nX: y", "\t", "𝟙", "ß", "İ", "ﬀ", "e\u0301",
    "00000000-0000-0000-0000-000000000000",
    "1;DROP TABLE x", "1 OR 1=1", "-0", "+1", "١٢", "1e", ".", "1.", ".5", "--", "[]", "{\"a\":1}", "[1]",
)  # fmt: skip

RAW: Final = ("%ff", "%c0%80", "%ed%a0%80", "%00", "%", "%zz", "%u202e", "%f4%90%80%80", "+" * 50, "&&&", "=")
"""As they stand in an address, not encoded again."""

BODIES: Final = (
    b"", b"\xff", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"[" * 4000, b'{"id":' * 3000, b'{"id": 1e999}',
    b'{"id": ' + DIGITS.encode() + b"}", b'{"id": "\\ud800"}', b'{"id": "a\\u0000b"}', b'{"id": null}',
    b'{"id": {}}', b'{"id": [1]}', b'{"id": "a|b|c"}', b'{"name": "\\u202e", "query": ""}', b'{"name": 1}',
    b'{"id": "BTC/USDT|binance|bybit", "id": 2}', b"\xef\xbb\xbf{}", b'{"id": "' + b"a" * 5000 + b'"}',
    b"a=1&b=2", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n", b"%00=%00&%ff=%ff",
)  # fmt: skip

CONTENT_TYPES: Final = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/plain; charset=utf-99", "application/x-www-form-urlencoded; charset=utf-7",
    "multipart/form-data; boundary=",
    "x", ";;;", "application/json; charset=\xff",
)  # fmt: skip

HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("Daphne-Root-Path", "/stolen"), ("Daphne-Root-Path", "/admin"), ("Daphne-Root-Path", "%"),
    ("Daphne-Root-Path", "http://x.example/"), ("Script-Name", "/x"), ("X-Script-Name", "/x"),
    ("X-Forwarded-Prefix", "/x"), ("X-Forwarded-Host", "x.example"), ("X-Forwarded-Port", "x"),
    ("X-Forwarded-Proto", "javascript"), ("X-Forwarded-For", "x, y, \xff"), ("X-Forwarded-For", "1" * 5000),
    ("Forwarded", "for=x;host=y"), ("X-Original-URL", "/admin/"), ("X-Rewrite-URL", "/admin/"),
    ("X-HTTP-Method-Override", "DELETE"), ("X-Request-ID", "\x1b[31m"), ("X-Request-ID", "a" * 5000),
    ("Cookie", "\xff=\xff; ;;=; =x; a=\"\\000\""), ("Cookie", "=" * 3000), ("Cookie", "a=b; " * 2000),
    ("Cookie", "arbdesk_session_8000=" + "x" * 5000), ("Cookie", "arbdesk_session_8000=\xff\u00fe"),
    ("Cookie", "arbdesk_csrf_8000=" + "x" * 500), ("Cookie", "django_language=../../x"),
    ("Cookie", "messages=x; sessionid=x"), ("Accept-Language", "\xff;q=x"), ("Accept-Language", "a-" * 4000),
    ("Accept-Language", "en;q=" + DIGITS), ("Accept-Encoding", "gzip;q=" + DIGITS), ("Accept", "x" * 3000),
    ("If-Modified-Since", "x"), ("If-Modified-Since", "Fri, 31 Dec 9999 99:99:99 GMT"),
    ("If-None-Match", '"' * 3000),
    ("Range", "bytes=-" + DIGITS), ("Range", "bytes=0-0,1-1," * 300), ("Expect", "x"),
    ("Referer", "\xff://["),
    ("Origin", "null"), ("Origin", "http://[::1"), ("Authorization", "Bearer"),
    ("Authorization", "Bearer \xff"),
    ("Authorization", "Bearer arb_" + "x" * 5000), ("Authorization", "Bearer a:b:c"),
    ("Authorization", "Basic %%%"),
    ("Authorization", "Bearer arb_\x00"), ("X-CSRFToken", "\xff"), ("X-Big", "x" * 65_000),
    ("Upgrade", "h2c"),
    ("Transfer-Encoding", "x"), ("Content-Length", "-1"), ("Content-Length", DIGITS),
    ("Connection", "close, x"),
    ("Via", "1.1 x"), ("X-Requested-With", "XMLHttpRequest"), ("TE", "trailers"), ("User-Agent", "\x1b[2J"),
)  # fmt: skip

HOSTS: Final = (
    "", "x.example", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:" + "9" * 400, "[::1", "[::1]:80:80",
    "localhost,x", "a b",
    "127.0.0.1@x.example", "\xff", "127.0.0.1/", "127.0.0.1#", "127.0.0.1\x00", "x" * 5000, "LOCALHOST.", "-",
    "...",
)  # fmt: skip

METHODS: Final = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "POST", "PROPFIND", "get", "X" * 300)

MESSAGES: Final = (
    "", "x", "null", "1", "[]", "{}", '"x"', "[" * 5000, '{"a":' * 2000, '{"type": null}', '{"type": []}',
    '{"type": "ack"}', '{"type": "ack", "seq": ' + DIGITS + "}", '{"type": "ack", "seq": -1}',
    '{"type": "ack", "seq": 1e999}', '{"type": "ack", "seq": 1.5}', '{"type": "ack", "seq": "1"}',
    '{"type": "ack", "seq": null}', '{"type": "ack", "seq": 1, "x": 1}', '{"type": "subscribe"}',
    '{"type": "subscribe", "filter": ' + DIGITS + "}", '{"type": "subscribe", "filter": 9223372036854775808}',
    '{"type": "subscribe", "filter": -1}', '{"type": "subscribe", "charts": ["\\u0000"]}',
    '{"type": "subscribe", "charts": [1]}', '{"type": "subscribe", "charts": ["' + "a" * 4000 + '"]}',
    '{"type": "unsubscribe", "charts": [null]}', '{"type": "unsubscribe", "charts": ["\\ud800"]}',
    '{"type": "view", "filter": ' + DIGITS + "}", '{"type": "view", "min_edge": 1e999}',
    '{"type": "view", "min_edge": NaN}', '{"type": "view", "search": "\\u0000\\u202e"}',
    '{"type": "view", "exchanges": ["\\ud800"]}', '{"type": "view", "offset": -1, "limit": 0}',
    '{"type": "view", "offset": 9223372036854775807}', '{"type": "view", "sort": "x"}',
    '{"type": "view", "search": "((((((((("}', '{"type": "view", "quote": "%"}',
    '{"type": "symbols", "page": -1}',
    '{"type": "symbols", "offset": 9223372036854775807}', '{"type": "symbols", "search": "\\u0000"}',
    '{"type": "symbols", "exchange": "\\ud800"}', '{"type": "symbols", "sort": 1}', "\0", "\ufeff{}",
)  # fmt: skip


def in_an_address() -> Iterator[str]:
    """Each value as it goes behind a `=`."""
    yield from (quote(value, safe="") for value in VALUES)
    yield from RAW
