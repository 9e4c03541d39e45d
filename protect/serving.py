"""Serving with granian: where it listens, its processes, and what signals mean to them.

The process that is started loads everything, so that nothing broken is ever listened with, and forks the workers. It
goes on following the policy's files as they do: a worker that has to be replaced begins with the last good policy.
SIGHUP has every process look at the files at once. SIGTERM ends it when the requests that were begun are answered.
"""

from __future__ import annotations

import ctypes
import gc
import ipaddress
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protect import options, watching
from protect.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("protect.serve")

DEFAULT_LISTEN = "127.0.0.1:8181"
DEFAULT_MODE = 0o660
# More threads only fight for the interpreter, and a decision waits for nothing; with the second one somebody who is
# slow does not keep everybody waiting.
THREADS = 2
#: Threads where a request waits for others: an API, an identity service, or a network.
THREADS_THAT_WAIT = 16
DEFAULT_DRAIN = 30

#: Options of the server, as they are called in the section [serve]; each is a flag and a variable as well.
OPTIONS = (
    "listen",
    "unix",
    "socket_mode",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "workers",
    "threads",
    "drain",
    "insecure",
)

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

_BACKLOG = 1024
# Names that WSGI uses for a request: granian hands the process's own environment to the application with each one.
_OF_A_REQUEST = re.compile(
    r"(HTTP|CONTENT|REMOTE|REQUEST|SERVER|AUTH)_.*|PATH_INFO|PATH_TRANSLATED|QUERY_STRING|.*\..*"
)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen, and with how many. ``unix``: the path of a socket, instead of ``host`` and ``port``.

    ``tls_client_ca``: only clients with a certificate of this authority get in. ``threads``: None for as many as fit
    what is served. ``drain``: seconds that a request may still take after SIGTERM. ``insecure``: without TLS or
    authentication even beyond this machine.
    """

    host: str = "127.0.0.1"
    port: int = 8181
    unix: Path | None = None
    socket_mode: int = DEFAULT_MODE
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    workers: int = 1
    threads: int | None = None
    drain: int = DEFAULT_DRAIN
    insecure: bool = False

    @classmethod
    def from_options(cls, conf: Mapping[str, str]) -> ServerSettings:
        """Read the options of the server; raises ConfigError that says which one to change, and to what."""
        options.check_known(conf, OPTIONS)
        unix = _path(conf, "unix")
        if unix and options.text(conf, "listen"):
            raise ConfigError("`listen` and `unix` are both set; one service listens at one place: leave one out")
        host, port = _address(conf.get("listen", "").strip() or DEFAULT_LISTEN)
        cert, key, ca = _path(conf, "tls_cert"), _path(conf, "tls_key"), _path(conf, "tls_client_ca")
        _check_tls(cert, key, ca, unix)
        return cls(
            host=host,
            port=port,
            unix=unix,
            socket_mode=_mode(conf),
            tls_cert=cert,
            tls_key=key,
            tls_client_ca=ca,
            workers=options.count(conf, "workers", 1, "processes"),
            threads=options.count(conf, "threads", 0, "threads") or None,
            drain=options.count(conf, "drain", DEFAULT_DRAIN, "seconds"),
            insecure=options.flag(conf, "insecure"),
        )

    @property
    def place(self) -> str:
        """Where it listens, as one writes it."""
        if self.unix is not None:
            return f"unix:{self.unix}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.unix is not None or ipaddress.ip_address(self.host).is_loopback

    def owns(self, connection: socket.socket) -> bool:
        """Tell whether a socket is one of those that have connected to here; raises OSError for one that is broken."""
        address = connection.getsockname()
        if self.unix is not None:
            return connection.family == socket.AF_UNIX and address == str(self.unix)
        return connection.family in (socket.AF_INET, socket.AF_INET6) and address[1] == self.port


def _path(conf: Mapping[str, str], name: str) -> Path | None:
    value = options.text(conf, name)
    return None if value is None else Path(value).absolute()


def _address(value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    accepted = "accepted: HOST:PORT, such as 127.0.0.1:8181, 0.0.0.0:8181 or [::1]:8181"
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ConfigError(f"`listen = {value}` is not accepted; {accepted}")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and bare == host):
        raise ConfigError(f"`listen = {value}` is not accepted; {accepted}")
    try:
        found = socket.getaddrinfo(bare, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"`listen = {value}` names a host that is not known: {error.strerror}") from None
    return str(found[0][4][0]), int(port)


def _mode(conf: Mapping[str, str]) -> int:
    value = options.text(conf, "socket_mode")
    if value is None:
        return DEFAULT_MODE
    if not re.fullmatch(r"0?o?[0-7]{3}", value):
        raise ConfigError(f"`socket_mode = {value}` is not accepted; accepted: three octal digits, such as 660")
    return int(value[-3:], 8)


def _check_tls(cert: Path | None, key: Path | None, ca: Path | None, unix: Path | None) -> None:
    if (cert is None) != (key is None):
        raise ConfigError("`tls_cert` and `tls_key` belong together; set both, or leave both out")
    if ca is not None and cert is None:
        raise ConfigError("`tls_client_ca` needs `tls_cert` and `tls_key`: without TLS nobody shows a certificate")
    if unix is not None and cert is not None:
        raise ConfigError("`unix` and `tls_cert` are both set; a Unix socket needs no TLS: leave one out")
    if cert is None or key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        if ca is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(ca)
        first = key.read_text(encoding="ascii", errors="replace")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS files cannot be used: {error.strerror or type(error).__name__}") from None
    if "BEGIN PRIVATE KEY" not in first:
        raise ConfigError(
            f"`tls_key = {key}` is not in PKCS#8 format, which the server needs; make one with: "
            f"openssl pkcs8 -topk8 -nocrypt -in {key} -out NEW"
        )


def share_metrics(workers: int) -> None:
    """Have the workers add up their metrics. To be called before anything else loads the metrics."""
    if workers == 1 or os.environ.get(METRICS_DIRECTORY):
        return
    directory = tempfile.mkdtemp(prefix="protect-metrics-")
    os.environ[METRICS_DIRECTORY] = directory
    owner = os.getpid()
    Finalize(None, _remove, args=(directory, owner), exitpriority=0)


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def check_installed() -> None:
    """Raise ConfigError where the server is not installed: it is an extra."""
    try:
        import granian  # noqa: F401
    except ImportError:
        raise ConfigError("`protect serve` needs granian: pip install '.[serve]'") from None


def serve(
    app: WSGIApplication,
    settings: ServerSettings,
    *,
    threads: int,
    begin: Callable[[], None],
    close: Callable[[], None],
) -> None:
    """Serve until a signal ends it, with so many threads in each worker. ``begin``: called in each worker when it
    begins; ``close``: when it has answered its last request.

    Raises ConfigError where it cannot listen; SystemExit(1) when workers die again and again.
    """
    # granian is the server of this one command; the filter and other servers do without it.
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server import MPServer

    class Server(MPServer):
        """Follows files where others would start workers anew: a broken policy must not replace a good one."""

        def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
            # A worker has this handler too, until it sets its own.
            if os.getpid() != self.pid:
                return
            watching.look_soon()
            for worker in list(self.wrks):
                with suppress(ProcessLookupError, TypeError):
                    os.kill(worker.inner.pid, signal.SIGHUP)

        def shutdown(self, exit_code: int = 0) -> None:
            try:
                super().shutdown(exit_code)  # type: ignore[no-untyped-call]
            except SystemExit:
                # Ctrl-C reaches the workers as well: that they end is no failure then.
                if not self.interrupt_signal:
                    raise

    _check_free(settings)
    unix = settings.unix
    server = Server(
        "protect",
        address=settings.host,
        port=settings.port,
        uds=unix,
        uds_permissions=settings.socket_mode if unix else None,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=threads,
        backlog=_BACKLOG,
        # Requests that wait for a thread, beside connections that wait to be accepted.
        backpressure=_BACKLOG,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_ca=settings.tls_client_ca,
        ssl_client_verify=settings.tls_client_ca is not None,
    )
    server.on_startup(_freeze)
    main = os.getpid()
    try:
        server.serve(target_loader=lambda: _in_worker(app, main, begin, close), wrap_loader=False)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen at {settings.place}: {str(error).splitlines()[0]}") from None


def _in_worker(
    app: WSGIApplication, main: int, begin: Callable[[], None], close: Callable[[], None]
) -> WSGIApplication:
    """Make a worker of this process, which was forked just now, and return what it serves."""
    _end_with(main)
    signal.signal(signal.SIGHUP, lambda number, frame: watching.look_soon())
    # A signal may have come before there was somebody to take it.
    watching.look_soon()
    Finalize(None, close, exitpriority=100)
    for name in [name for name in os.environ if _OF_A_REQUEST.fullmatch(name)]:
        del os.environ[name]
    begin()
    return app


def _end_with(main: int) -> None:
    """Have this process ended when the one that started it dies: it would go on answering from an old policy."""
    if sys.platform == "linux":
        # Not SIGTERM: it is lost on a worker that is just starting, and whoever is left would answer for ever.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != main:
            sys.exit(1)


def _freeze() -> None:
    """Take what is loaded out of the garbage collector's sight, so that workers share its memory."""
    gc.collect()
    gc.freeze()


def _check_free(settings: ServerSettings) -> None:
    """Raise ConfigError where somebody listens already. Two services at one port would share its requests silently."""
    if settings.unix is not None:
        _check_socket(settings.unix)
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigError(f"cannot listen at {settings.place}: {error.strerror}") from None


def _check_socket(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"`unix = {path}` is there and is not a socket; name another path")
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise ConfigError(f"`unix = {path}`: the directory does not exist") from None
    except OSError as error:
        raise ConfigError(f"`unix = {path}` cannot be used: {error.strerror}") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            # Nobody listens: left behind by a service that could not clean up.
            path.unlink()
        except OSError as error:
            raise ConfigError(f"`unix = {path}` cannot be used: {error.strerror}") from None
        else:
            raise ConfigError(f"cannot listen at {path}: somebody does already")


# The standard output belongs to the decision log.
_LOGGING: dict[str, Any] = {
    "handlers": {
        "console": {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"formatter": "access", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
    },
}
