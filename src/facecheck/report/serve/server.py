"""serve: the job that answers a browser until it is told to end."""

from __future__ import annotations

import errno
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import to_path
from facecheck.core.install import extra_hint
from facecheck.core.workspace import find_checkpoint
from facecheck.report.serve.options import LOOPBACK, ServeOptions


@dataclass(frozen=True)
class ServeResult:
    """What was served.

    Attributes:
        source: the folder, or the results.
        scans: how many scans there are.
        decided: decisions about their rows.
        corrections: the files with these decisions.
    """

    source: Path
    scans: int
    decided: int
    corrections: tuple[Path, ...]


def serve(
    source: Path | str,
    checkpoint: Path | str | None = None,
    options: ServeOptions = ServeOptions(),
    *,
    opened: Callable[[str], None],
) -> ServeResult:
    """Serve a page to scan folders and to review results, until Ctrl-C or SIGTERM.

    A scan that runs then is stopped as Ctrl-C stops one; its rows are kept.

    Args:
        source: a folder, whose folders may be chosen in the page; or the results of a scan.
        checkpoint: the model of scans that are started; None takes the newest finished run of the
            workspace, or the built-in model.
        options: where to serve, and where results are kept.
        opened: called with the address to open, token included, once it is served.

    Raises:
        UsageError: there is nothing at ``source``; the port is taken.
        FacecheckError: the extra is missing; results cannot be read; another process serves them.
    """
    source, checkpoint = to_path(source, "the source"), find_checkpoint(checkpoint)
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ModuleNotFoundError:
        raise FacecheckError(extra_hint("facecheck serve", "serve")) from None
    from facecheck.report.serve.app import make_app
    from facecheck.report.serve.guard import Guard
    from facecheck.report.serve.workplace import Workplace

    with _bound(options) as listening, Workplace(source, checkpoint, options) as workplace:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        names = _names(options.host)
        guard = Guard(
            make_app(workplace), token=token, hosts=[f"{each}:{port}" for each in names], port=port
        )
        config = uvicorn.Config(
            guard, log_config=None, access_log=False, lifespan="off", ws="none",
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        _run(
            uvicorn.Server(config),
            listening,
            lambda: opened(f"http://{names[0]}:{port}/?token={token}"),
        )
        scans = workplace.scans.values()
        return ServeResult(
            source,
            len(scans),
            sum(scan.decided for scan in scans),
            tuple(scan.corrections for scan in scans if scan.decided),
        )


def _bound(options: ServeOptions) -> socket.socket:
    """Return a socket that listens where the options say.

    Raises:
        UsageError: it is taken, or is no address of this machine.
    """
    where = f"{options.host}:{options.port}"
    listening: socket.socket | None = None
    try:
        family, kind, *_, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        if listening is not None:
            listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"{where} is taken: name another with --port, or 0 for any that is free"
            ) from None
        raise UsageError(
            f"{where} cannot be served ({reason(error)}): check --host and --port"
        ) from None
    return listening


def _names(host: str) -> list[str]:
    """Return by which names a browser may call this server, the one to show first."""
    shown = f"[{host}]" if ":" in host else host
    if host in LOOPBACK:
        return list(dict.fromkeys([shown, "127.0.0.1", "localhost", "[::1]"]))
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # asked for
        names = {socket.gethostname(), socket.getfqdn()}
        with suppress(OSError):
            names |= {str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None)}
        return [
            *sorted(f"[{name}]" if ":" in name else name for name in names),
            "localhost",
            "127.0.0.1",
        ]
    return [shown]


def _run(server: Any, listening: socket.socket, opened: Callable[[], None]) -> None:
    """Serve until a signal asks to end, which is no error."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("serve runs in the main thread, which gets the signals")
    before = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        opened()
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
