"""A bundle is had from another machine by HTTP: whole, in pieces, or not at all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from tools import ROOT
from tools.artefacts import bundle, mirror
from tools.artefacts.bundle import BundleError
from tools.artefacts.mirror import Mirror, MirrorError
from tools.tests.test_bundle import written

WHEEL = os.urandom(5_000_000)


@contextmanager
def running(server: ThreadingTCPServer) -> Iterator[str]:
    """A server that answers; gives its address."""
    with server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class Line(ThreadingTCPServer):
    """A network to a server, which may break after some bytes of answers."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port, self.breaks_after, self.passed = port, 1 << 40, 0


class _Connection(StreamRequestHandler):
    server: Line

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            while (line := self.rfile.readline()).strip():
                there.sendall(line)
            there.sendall(line)
            while self.server.passed < self.server.breaks_after and (content := there.recv(65536)):
                self.server.passed += len(content)
                self.wfile.write(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A bundle that somebody made."""
    return written(tmp_path / "shop floor.bundle", content=WHEEL, promised=WHEEL)


@pytest.fixture
def served(file: Path) -> Iterator[str]:
    """Its address on the network."""
    with running(Mirror(file, 0)) as address:
        yield f"{address}/shop%20floor.bundle"


def kept(cache: Path) -> list[str]:
    """Endings of what a cache holds of bundles."""
    return [path.suffix for path in (cache / "bundle").iterdir()]


def test_what_a_mirrored_bundle_holds_is_put_into_the_cache(served: str, tmp_path: Path) -> None:
    bundle.read_from(served, tmp_path / "cache")
    assert (tmp_path / "cache/wheels/a.whl").read_bytes() == WHEEL
    assert kept(tmp_path / "cache") == [".bundle"]


@pytest.mark.parametrize("path", ["", "README.md", "../shop%20floor.bundle", "etc/passwd"])
def test_nothing_else_is_served(served: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(served.rsplit("/", 1)[0] + f"/{path}")


def test_a_fetch_goes_on_where_the_network_broke(served: str, file: Path, tmp_path: Path) -> None:
    size, port = file.stat().st_size, int(served.split(":")[2].split("/")[0])
    line = Line(port)
    with running(line) as address:
        url = f"{address}/shop%20floor.bundle"
        line.breaks_after = 3_000_000
        with pytest.raises(MirrorError, match=r"stopped after [23]\.\d of 5\.0 MB: run the same command again"):
            bundle.read_from(url, tmp_path / "cache")
        assert not (tmp_path / "cache/wheels").exists() and kept(tmp_path / "cache") == [".unfinished"]
        line.breaks_after = 1 << 40
        bundle.read_from(url, tmp_path / "cache")
        assert line.passed < size + 1_100_000  # at most a piece came twice
        before = line.passed
        bundle.read_from(url, tmp_path / "cache")
        assert line.passed - before < 1000  # it is there
    assert (tmp_path / "cache/wheels/a.whl").read_bytes() == WHEEL


def test_another_bundle_at_the_same_address_is_not_mixed_with_what_was_fetched(
    served: str, file: Path, tmp_path: Path
) -> None:
    bundle.read_from(served, tmp_path / "cache")
    written(file, content=b"newer", promised=b"newer")
    bundle.read_from(served, tmp_path / "cache")
    assert (tmp_path / "cache/wheels/a.whl").read_bytes() == b"newer"
    assert kept(tmp_path / "cache") == [".bundle"]


def test_a_bundle_for_something_else_is_refused_when_it_has_begun(served: str, file: Path, tmp_path: Path) -> None:
    written(file, made_for=bundle.made_for() | {"Python": "2.7"}, content=WHEEL, promised=WHEEL)
    with pytest.raises(BundleError, match=r"http://\S+ was made for Python 2\.7, and here it is"):
        bundle.read_from(served, tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


def test_a_damaged_bundle_is_refused_and_fetched_anew_the_next_time(served: str, file: Path, tmp_path: Path) -> None:
    written(file, content=b"damaged", promised=WHEEL)
    with pytest.raises(BundleError, match=r"http://\S+ is damaged"):
        bundle.read_from(served, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["bundle"]


def test_a_page_is_no_bundle(tmp_path: Path) -> None:
    with (
        running(Mirror(ROOT / "README.md", 0)) as address,
        pytest.raises(BundleError, match=r"http://\S+ is no bundle"),
    ):
        bundle.read_from(f"{address}/README.md", tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


def test_an_address_that_does_not_answer_is_refused_in_one_sentence(served: str, tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"/other answers 404 Not Found: take what `make mirror` printed\.$"):
        bundle.read_from(served.replace("shop%20floor.bundle", "other"), tmp_path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(MirrorError, match=r"does not answer \(.*refused\): is `make mirror` running there\?$"):
            bundle.read_from(f"http://127.0.0.1:{silent.getsockname()[1]}/shopfloor.bundle", tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_a_port_in_use_is_refused_in_one_sentence(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(MirrorError, match="with PORT="):
        Mirror(file, other.getsockname()[1])


def test_make_mirror_prints_what_to_type_elsewhere_and_ends_with_ctrl_c(file: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    # What a script has started in the background, as it may have pytest, ignores Ctrl-C; a terminal's command does not.
    command = ["env", "--default-signal=INT", sys.executable]
    command += ["-m", "tools.artefacts.bundle", "mirror", str(file), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as typed:
        assert typed.stdout
        printed: list[str] = []
        while not printed or printed[-1] != "Ctrl-C ends it.":
            printed.append(typed.stdout.readline().strip())
            assert printed[-1], typed.stdout.read()
        wanted = [f"make lab BUNDLE=http://{address}:{port}/shop%20floor.bundle" for address in mirror.addresses()]
        assert printed[1:-1] == wanted
        bundle.read_from(f"http://127.0.0.1:{port}/shop%20floor.bundle", tmp_path / "cache")
        typed.send_signal(signal.SIGINT)
        try:
            assert "127.0.0.1 has all of it" in typed.communicate(timeout=30)[0]
        finally:
            typed.kill()
    assert typed.returncode == 0
