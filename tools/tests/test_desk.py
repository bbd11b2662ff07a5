"""`drill` as it runs on the edge host, over a real socket: what passes, and what comes back."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import ROOT
from tools.drills import desk as desks
from tools.drills import drill
from tools.drills.desk import Desk, arguments

SLOW = "import sys, time; print('first', sys.argv[1:], flush=True); time.sleep(2); print('`make hint`'); sys.exit(7)"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`drill`, whose desk has its socket in a folder of the test."""
    path = tmp_path / "drill"
    path.write_text(Path(drill.__file__).read_text().replace(drill.SOCKET, f"{tmp_path}/desk"))
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk that is open."""
    with Desk(tmp_path / "desk") as opened:
        threading.Thread(target=opened.serve_forever).start()
        yield opened
        opened.shutdown()


def begin(program: Path, *words: str) -> subprocess.Popen[str]:
    """Type `drill` and words."""
    # What a script has started in the background, as it may have pytest, ignores Ctrl-C; a terminal's command does not.
    command = ["env", "--default-signal=INT", sys.executable, str(program), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ask(program: Path, *words: str) -> tuple[int, str]:
    """The exit code of `drill` and words, and what it printed."""
    typed = begin(program, *words)
    printed = "".join(typed.communicate(timeout=60))
    return typed.returncode, printed


def test_what_is_typed_is_what_make_understands() -> None:
    assert arguments([]) == ["list"]
    assert arguments(["ID=page-hangs"]) == ["start", "--", "page-hangs"]
    assert arguments(["ID=page-hangs", "SEED=7"]) == ["start", "--seed=7", "--", "page-hangs"]
    assert arguments(["diagnose", "HOST=edge1", "UNIT=", "EVIDENCE=a=b c"]) == [
        *("diagnose", "--host=edge1", "--evidence=a=b c"),
    ]
    assert all(arguments([word]) == [word] for word in desks.WORDS if word)


def test_the_words_are_those_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word, names in desks.WORDS.items():
        recipe = re.search(rf"^{word or 'drill'}\b.*: setup\b.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        recipe = recipe or re.search(rf"^[a-z ]*\b{word}\b[a-z ]*: setup\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe, word
        assert set(re.findall(r"\$\$?\(?([A-Z]+)\b", recipe[1])) - {"LAB"} == {*names}, word


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["prove"], "There is no `drill prove`."),
        (["hints"], "There is no `drill hints`. Did you mean hint?"),
        (["--help"], "There is no `drill --help`. Take one of: hint, diagnose, verify, solution, reset, report."),
        (["start", "page-hangs"], "There is no `drill start`."),
        (["verify", "LAB=tour"], "`drill verify` takes nothing, and not 'LAB=tour'."),
        (["diagnose", "--host=edge1"], "`drill diagnose` takes HOST=… UNIT=… CAUSE=… EVIDENCE=… CHAIN=…, and not"),
        (["ID=page-hangs", "AGAIN=1"], "`drill` takes ID=… SEED=…, and not 'AGAIN=1'."),
        (["diagnose", "EVIDENCE=\0"], "This cannot be understood; ask with `drill`."),
    ],
)
def test_nothing_but_the_words_of_drills_passes(desk: Desk, words: list[str], sentence: str) -> None:
    said: list[str] = []
    assert desk.answer(json.dumps(words).encode(), said.append) == 2
    assert len(said) == 1 and said[0].startswith(f"ERROR {sentence}") and said[0].count("\n") == 1


@pytest.mark.parametrize("line", [b"\n", b"make verify\n", b"7\n", b"[" * 60_000, b"\xff\n"])
def test_what_is_no_request_is_refused(desk: Desk, line: bytes) -> None:
    said: list[str] = []
    assert desk.answer(line, said.append) == 2
    assert said == ["ERROR This cannot be understood; ask with `drill`.\n"]


def test_an_id_is_never_an_option(desk: Desk, program: Path) -> None:
    code, printed = ask(program, "ID=--help")
    assert code == 1 and "There is no drill '--help'." in printed


def test_drills_are_listed_on_the_edge_host_with_its_own_words(desk: Desk, program: Path) -> None:
    code, printed = ask(program)
    assert code == 0 and "batch-asleep" in printed and "\x1b" not in printed
    assert "`drill ID=…` starts one; then `drill hint`, `drill diagnose`, `drill verify`, `drill reset`." in printed


def test_what_the_runner_refuses_is_told_with_its_exit_code(desk: Desk, program: Path) -> None:
    assert ask(program, "ID=page-hang") == (1, "ERROR There is no drill 'page-hang'. Did you mean page-hangs?\n")


def test_an_answer_comes_as_it_is_made(desk: Desk, program: Path) -> None:
    desk.runner = (sys.executable, "-c", SLOW)
    with begin(program, "diagnose", "CAUSE=dns") as typed:
        assert typed.stdout and typed.stdout.readline() == "first ['diagnose', '--cause=dns']\n"
        assert typed.poll() is None
        assert typed.stdout.read() == "`drill hint`\n"
    assert typed.returncode == 7


def test_one_is_answered_at_a_time(desk: Desk, program: Path) -> None:
    desk.runner = (sys.executable, "-c", SLOW)
    with begin(program, "verify") as first:
        assert first.stdout and first.stdout.readline()
        assert ask(program, "reset") == (1, "ERROR `drill verify` is being answered: wait for its end.\n")
        assert first.communicate() == ("`drill hint`\n", "")
    assert first.returncode == 7


def test_who_does_not_wait_is_told_where_the_answer_comes(desk: Desk, program: Path) -> None:
    desk.runner = (sys.executable, "-c", SLOW)
    with begin(program, "verify") as typed:
        assert typed.stdout and typed.stdout.readline()
        typed.send_signal(signal.SIGINT)
        assert typed.communicate() == ("", f"{drill.LEFT}\n")
    assert typed.returncode == 1


def test_a_verdict_is_not_lost_with_the_connection(desk: Desk, program: Path) -> None:
    desk.runner = (sys.executable, "-c", SLOW)
    with socket.socket(socket.AF_UNIX) as cut:
        cut.connect(str(desk.server_address))
        cut.sendall(b'["verify"]\n')
        assert b"first" in cut.recv(100)
    while desk.turn.locked():
        time.sleep(0.1)
    desk.runner = (sys.executable, "-c", "print('now')")
    code, printed = ask(program, "report")
    assert code == 0
    assert re.fullmatch(r"\S+  drill verify, which nobody heard:\nfirst \['verify'\]\n`drill hint`\n\nnow\n", printed)
    assert ask(program, "report") == (0, "now\n")


def test_without_a_desk_drill_says_what_to_do(program: Path) -> None:
    assert ask(program, "verify") == (1, f"{drill.CLOSED}\n")
