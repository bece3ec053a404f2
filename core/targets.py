"""Hosts the desk may connect to where an operator enters an address: those of the Internet.

Private, link-local, loopback and other special addresses are reached only where a setting names their
network (PRIVATE_TARGETS). What a name stands for is looked up once, checked, and that very address is
connected to, so a name that changes its answer in between gains nothing. Plain Python, no Django.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from unicodedata import normalize

Network = IPv4Network | IPv6Network
_INFO = tuple[Any, Any, int, str, Any]

LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
REFUSED: Final = "its address is within a private network, which PRIVATE_TARGETS does not name"

_NAT64: Final = IPv6Network("64:ff9b::/96")


class RefusedTarget(OSError):
    """No connection was opened, as the address is not one that the desk may reach."""

    def __init__(self) -> None:
        super().__init__(REFUSED)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks and addresses as a setting names them. Raises ValueError naming the one that is none."""
    return tuple(ip_network(text.strip()) for text in texts)


def allowed(address: str, private: Sequence[Network]) -> bool:
    """Whether a numeric address may be connected to; `private` are the networks the operator opened."""
    ip = _meant(ip_address(address.partition("%")[0]))
    is_special = ip.is_multicast or ip.is_reserved or (isinstance(ip, IPv6Address) and ip.is_site_local)
    public = ip.is_global and not is_special
    return public or any(ip in network for network in private if network.version == ip.version)


def host_problem(host: str, private: Sequence[Network]) -> str:
    """Problem of a host as far as it shows without a look-up; empty when there is none."""
    # As a look-up reads it: ① is 1 there, so is a full-width one, and an ideographic full stop is a dot.
    name = normalize("NFKC", host).replace("。", ".").strip().strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "" if allowed("127.0.0.1", private) else REFUSED
    number = _number(name)
    return REFUSED if number and not allowed(number, private) else ""


def check(info: _INFO, private: Sequence[Network]) -> None:
    """Raise RefusedTarget unless this answer of getaddrinfo may be connected to."""
    address, port = str(info[4][0]), info[4][1]
    if not allowed(address, private) or (port in _OWN_PORTS and not allowed(address, ())):
        raise RefusedTarget


def keep_off(ports: Iterable[int | None]) -> None:
    """Refuse these ports within private networks, opened ones too: the desk's own servers answer there."""
    _OWN_PORTS.update(port for port in ports if port)


_OWN_PORTS: Final[set[int]] = set()


def checked_socket(private: Sequence[Network], info: _INFO) -> socket.socket:
    """A socket for this answer of getaddrinfo, not yet connected. Raises RefusedTarget."""
    check(info, private)
    return socket.socket(*info[:3])


def connect(host: str, port: int, within_s: float, private: Sequence[Network]) -> socket.socket:
    """A connected socket; blocks. Raises RefusedTarget where no address may be reached, OSError."""
    trouble: OSError = OSError(f"{host} has no address")
    for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = None
        try:
            opened = checked_socket(private, info)
            opened.settimeout(within_s)
            opened.connect(info[4])
            return opened
        except OSError as error:
            trouble = error
            if opened is not None:
                opened.close()
    raise trouble


async def connected(host: str, port: int, private: Sequence[Network]) -> socket.socket:
    """Connect like `connect`, without blocking and for as long as the caller waits."""
    loop = asyncio.get_running_loop()
    trouble: OSError = OSError(f"{host} has no address")
    for info in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = None
        try:
            opened = checked_socket(private, info)
            opened.setblocking(False)
            await loop.sock_connect(opened, info[4])
            return opened
        except BaseException as error:
            if opened is not None:
                opened.close()
            if not isinstance(error, OSError):
                raise
            trouble = error
    raise trouble


def socket_factory(private: Sequence[Network]) -> Any:
    """Socket factory for a library that looks up by itself, and asks for a socket for each address found."""
    return partial(checked_socket, tuple(private))


def _number(name: str) -> str:
    """The address that a numeric host stands for, in whichever spelling; empty for a name."""
    try:
        return str(ip_address(name.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name)) if name[:1].isdigit() else ""
    except OSError:
        return ""


def _meant(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one only wraps."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
