"""Lets processes of the product begin as forks of one Python that has imported their libraries already.

Two thirds of what a process costs to start are imports, and tests start hundreds. Each is still a process of
its own, a child of the test's, that runs its program from the first line in an environment of its own; only
the libraries are there, as they are when a program imports them a second time. None of our own modules is.
Processes that are started in another way (`python -c`, or by the product itself) are not touched.
"""

import ctypes
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).parent.parent.parent
# What installs an event loop, or is loaded only in part (arbsite/web.py), each process imports by itself.
NOT_SHARED = {"twisted", "autobahn", "txaio", "daphne", "OpenSSL"}
PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES = 1 << 18

_cold = subprocess.Popen
_one_at_a_time = threading.Lock()


def install() -> None:
    """Start the product's processes of this suite this way, where the system can (Linux)."""
    if sys.platform == "linux":
        subprocess.Popen = WarmPopen  # type: ignore[misc]


class WarmPopen(subprocess.Popen):  # type: ignore[type-arg]
    """A `Popen` whose process, where it is one of the product, is a fork."""

    def _execute_child(self, *given: Any) -> None:
        names = list(inspect.signature(_cold._execute_child).parameters)[1:]  # type: ignore[attr-defined]
        asked = dict(zip(names, given, strict=True))
        if not _is_of_the_product(asked):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        pipes = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        files = [own if pipe == -1 else pipe for own, pipe in enumerate(pipes)]
        environment = dict(os.environ if asked["env"] is None else asked["env"])
        request = {
            "arguments": [os.fspath(argument) for argument in asked["args"][1:]],
            "environment": environment,
            "directory": os.fspath(asked["cwd"]),
        }
        self.pid = _fork(json.dumps(request).encode(), files)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ends))  # type: ignore[attr-defined]


def _is_of_the_product(asked: dict[str, Any]) -> bool:
    if not isinstance(asked["args"], list | tuple) or asked["cwd"] is None:
        return False
    program, *arguments = map(os.fspath, asked["args"])
    ours = arguments[:1] in (["manage.py"], [str(BASE_DIR / "manage.py")])
    ours = ours or arguments[:2] == ["-m", "arbsite.web"]
    ordinary = (asked["preexec_fn"], asked["shell"], asked["pass_fds"], asked["start_new_session"])
    environment = os.environ if asked["env"] is None else asked["env"]
    return (
        program == sys.executable
        and ours
        and Path(asked["cwd"]) == BASE_DIR
        and not any(ordinary)
        and all(asked[name] in (None, -1) for name in ("gid", "gids", "uid", "umask", "process_group"))
        and _of_the_interpreter(environment) == _of_the_interpreter(os.environ)
    )


def _of_the_interpreter(environment: Any) -> dict[str, str]:
    """Files that Python itself reads when it starts."""
    return {k: v for k, v in environment.items() if k.startswith(("PYTHON", "LC_")) or k == "LANG"}


def _fork(request: bytes, files: list[int]) -> int:
    """Have a process forked that becomes a child of ours; its id."""
    with _one_at_a_time:
        door = _door()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what its parent leaves behind becomes our child
        try:
            socket.send_fds(door, [request], files)
            if answer := door.recv(REQUEST_BYTES):
                return int(answer)
            raise RuntimeError("the Python that forks has ended; what it printed says why")
        finally:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@cache
def _door() -> socket.socket:
    """The socket to the Python that forks. It ends when the socket does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.support.warm_python", str(theirs.fileno())]
        _keep.append(_cold(command, cwd=BASE_DIR, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL))
    return ours


_keep: list[Any] = []  # a Popen that nobody holds complains that its process still runs


# --- the Python that forks -----------------------------------------------------------------------


def _load_libraries() -> None:
    """Import what a web process imports, which most others do, too; but nothing of ours (settings)."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a thread would not survive a fork
    os.environ["DJANGO_SETTINGS_MODULE"] = "arbsite.settings"
    code = "import sys; from arbsite import web; web.leave_out(); import arbsite.asgi; print(*sys.modules)"
    named = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    del os.environ["DJANGO_SETTINGS_MODULE"]
    own = {path.stem for path in BASE_DIR.iterdir() if not path.name.startswith(".")}
    for name in named.stdout.split():
        if name.partition(".")[0] not in own | NOT_SHARED:
            try:
                __import__(name)
            except Exception:  # it wants Django's settings: a process imports it by itself
                continue
    ours = {name for name in sys.modules if name.partition(".")[0] in own - {"tests"}}
    assert not ours, f"a library imported {ours}"


def _serve(door: socket.socket) -> None:
    while True:
        request, files, _flags, _address = socket.recv_fds(door, REQUEST_BYTES, 3)
        if not request:
            return
        reading, writing = os.pipe()
        keeper = os.fork()
        if keeper == 0:
            child = os.fork()
            if child == 0:
                door.close()
                os.close(reading)
                os.close(writing)
                return _become(json.loads(request), files)
            os.write(writing, str(child).encode())
            os._exit(0)
        os.waitpid(keeper, 0)  # with its parent gone, the child is the test's
        door.send(os.read(reading, 32))
        for file in (reading, writing, *files):
            os.close(file)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Run the program in this process, as if it had been started so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    program, *arguments = request["arguments"]
    if program == "-m":
        module, *arguments = arguments
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the suite, which then ends this
    _load_libraries()
    with socket.socket(fileno=int(sys.argv[1])) as door:
        _serve(door)
