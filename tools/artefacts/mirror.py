"""A large file on the local network: served by one machine, fetched by others, which go on where they stopped.

Uses the standard library only, for nothing is installed yet where it is fetched.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.parse import quote

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a sign of the other side
SHOWN_SECONDS = 5
# A proxy of the environment leads out of the local network.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MirrorError(Exception):
    """A file that cannot be served or fetched; the message says what to do."""


class Mirror(ThreadingTCPServer):
    """Serves one file, whole or from a byte on, and nothing else of this machine."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, file: Path, port: int) -> None:
        """Begin to listen.

        Raises:
            MirrorError: Something else listens on that port.
        """
        self.file = file
        try:
            super().__init__(("", port), _Answer)
        except OSError as error:
            raise MirrorError(f"Port {port}: {error.strerror}. Take another one with PORT=.") from error


class _Answer(BaseHTTPRequestHandler):
    server: Mirror
    timeout = TIMEOUT

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        if self.path != f"/{quote(self.server.file.name)}":
            self.send_error(404)
            return
        with self.server.file.open("rb") as file:
            state = Path(file.name).stat()
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(asked[1]) if asked and int(asked[1]) < state.st_size else 0
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{state.st_size - 1}/{state.st_size}")
            self.send_header("Content-Length", str(state.st_size - first))
            self.send_header("ETag", f'"{state.st_mtime_ns:x}-{state.st_size:x}"')
            self.end_headers()
            if with_content:
                try:
                    self.connection.sendfile(file, first)
                except OSError as error:
                    self._say(f"has left: {error}")
                else:
                    self._say("has all of it")

    def _say(self, what: str) -> None:
        print(f"  {time.strftime('%X')}  {self.client_address[0]} {what}", flush=True)

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


def serve(file: Path, port: int, command: str) -> None:
    """Serve a file until Ctrl-C, and say how it is had.

    Args:
        file: What to serve.
        port: Where to listen.
        command: What to type elsewhere, with `{}` for the address.

    Raises:
        MirrorError: Something else listens on that port.
    """
    with Mirror(file, port) as server:
        print("On the other machines, with the address that they reach:")
        for address in addresses():
            print(f"  {command.format(f'http://{address}:{port}/{quote(file.name)}')}")
        print("Ctrl-C ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def addresses() -> Iterator[str]:
    """IPv4 addresses of this machine, but those of its labs."""
    words = ["ip", "-json", "-4", "address", "show", "up", "scope", "global"]
    for link in json.loads(subprocess.run(words, capture_output=True, check=True).stdout):
        if not link["ifname"].startswith("sf-"):
            yield from (row["local"] for row in link["addr_info"])


def fetch(url: str, folder: Path, check: Callable[[Path], None]) -> Path:
    """Fetch a file, or the rest of it.

    Args:
        url: Its address.
        folder: Where it is kept, under a name of its own for each version; versions before are removed.
        check: Called with what is there when the file has begun; raises what then is raised.

    Returns:
        The file, which has the length that the server gave; what it holds is for the caller to check.

    Raises:
        MirrorError: Nothing answers, it answers with something else, or it stopped before the end.
    """
    with _opened(urllib.request.Request(url, method="HEAD")) as answer:
        size = int(answer.headers.get("Content-Length", 0))
        version = f"{url} {size} {answer.headers.get('ETag')} {answer.headers.get('Last-Modified')}"
    whole = folder / f"{sha256(version.encode()).hexdigest()[:12]}.bundle"
    part = whole.with_suffix(".unfinished")
    folder.mkdir(parents=True, exist_ok=True)
    for other in set(folder.iterdir()) - {whole, part}:
        other.unlink()
    if whole.exists():
        return whole
    part.touch()
    if part.stat().st_size < size:
        _fetch_rest(url, part, size, check)
    part.replace(whole)
    return whole


def _fetch_rest(url: str, part: Path, size: int, check: Callable[[Path], None]) -> None:
    have = part.stat().st_size
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _opened(request) as answer, part.open("ab") as file:
        if answer.status != 206:
            file.truncate(have := 0)
        checked, shown = False, time.monotonic()
        try:
            while content := answer.read(CHUNK):
                file.write(content)
                file.flush()
                have += len(content)
                if not checked and have >= min(size, CHUNK):
                    checked = True
                    _check_begun(part, check)
                if have == size or time.monotonic() - shown > SHOWN_SECONDS:
                    shown = time.monotonic()
                    print(f"  {have / 1e6:.0f} of {size / 1e6:.0f} MB", flush=True)
        except (OSError, HTTPException):
            pass  # what came is kept
    if have != size:
        came = f"{have / 1e6:.1f} of {size / 1e6:.1f} MB"
        raise MirrorError(f"{url} stopped after {came}: run the same command again, it goes on there.")


def _check_begun(part: Path, check: Callable[[Path], None]) -> None:
    try:
        check(part)
    except Exception:
        part.unlink()
        raise


@contextmanager
def _opened(request: urllib.request.Request) -> Iterator[HTTPResponse]:
    url = request.full_url
    try:
        answer: HTTPResponse = _direct.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        raise MirrorError(f"{url} answers {error.code} {error.reason}: take what `make mirror` printed.") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MirrorError(f"{url} does not answer ({reason}): is `make mirror` running there?") from error
    with answer:
        yield answer
