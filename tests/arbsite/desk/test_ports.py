"""Ports for servers that are started a moment later: nobody else gets them meanwhile."""

import socket
import subprocess
import sys
from pathlib import Path

from arbsite.desk import ports
from arbsite.desk.ports import free_port
from arbsite.environment import BASE_DIR

MANY = 40
ASKING = f"""
from arbsite.desk.ports import free_port
print(*(free_port() for _ in range({MANY})), flush=True)
input()
"""


def test_two_processes_that_ask_at_once_get_different_ports() -> None:
    command = [sys.executable, "-c", ASKING]
    asking = [
        subprocess.Popen(
            command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(2)
    ]
    given: list[int] = []
    for process in asking:
        assert process.stdout is not None
        given += map(int, process.stdout.readline().split())
    for process in asking:
        process.communicate("\n", timeout=60)
    assert len(given) == len(set(given)) == 2 * MANY


def test_no_outgoing_connection_takes_a_port_meanwhile() -> None:
    lowest, _highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert ports.PORTS.stop <= lowest


def test_a_port_that_somebody_listens_on_is_not_given() -> None:
    taken, free = free_port(), free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        server.listen()
        assert not ports._is_free(taken)
        assert ports._is_free(free)
