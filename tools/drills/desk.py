"""Where `drill` on the edge host is answered: drills for students who have nothing but SSH.

    python -m tools.drills.desk    until Ctrl-C

Drills, solutions, clock and key stay here. The edge host gets drill.py, and ssh leads its socket to ours, over which
nothing passes but the words of `make`: a table of words and names becomes the arguments of `python -m tools.drills`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import ROOT
from tools import cluster as clusters
from tools.cluster import Host, UnreachableError
from tools.drills import drill
from tools.terminal import Problem, console, nearest, run

WORDS = {
    "": ("ID", "SEED"),
    "hint": (),
    "diagnose": ("HOST", "UNIT", "CAUSE", "EVIDENCE", "CHAIN"),
    **dict.fromkeys(("verify", "solution", "reset", "report"), ()),
}
"""What may be asked, and which names a word takes; without a word it is `make drill`."""
MAKE = re.compile(rf"\bmake(?: drill\b|(?= (?:{'|'.join(filter(None, WORDS))})\b))")
LONGEST = 65536  # bytes of a request
COLUMNS = "120"  # of tables: each row in a line, which a narrower terminal breaks
RETRY_SECONDS = 2

PROGRAM = "/usr/local/bin/drill"
SOCKET = drill.SOCKET
FOLDER = Path(SOCKET).parent
TAKEN = 9
OPEN = "open\n"
PROBE = f"""python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("{SOCKET}")' 2>&- && exit {TAKEN}
"""
# A socket that an ended connection left would refuse the next one.
PREPARE = f"""set -e
sudo -n install -d -o "$(id -un)" {FOLDER}
rm -f {SOCKET}
sudo -n install /dev/stdin {PROGRAM}"""
# All users of the host may ask. The input ends with the connection, however that ends; its successor may be there then.
SESSION = f"""chmod 666 {SOCKET} && inode=$(stat -c %i {SOCKET}) && echo {OPEN.strip()} && cat >/dev/null
[ "$(stat -c %i {SOCKET})" = "$inode" ] && sudo -n rm -rf {FOLDER} {PROGRAM}"""
SSH = (
    *("BatchMode=yes", "ConnectTimeout=10", "ExitOnForwardFailure=yes", "ControlMaster=no", "ControlPath=none"),
    *("ServerAliveInterval=5", "ServerAliveCountMax=2"),
)


def arguments(words: Sequence[str]) -> list[str]:
    """The arguments of `python -m tools.drills` for what somebody typed after `drill`.

    Raises:
        Problem: It is none of the words, or has a name that the word does not take.
    """
    verb, names = ("", words) if not words or "=" in words[0] else (words[0], words[1:])
    if verb not in WORDS:
        raise Problem(f"There is no `drill {verb}`. {nearest(verb, [word for word in WORDS if word])}")
    given = {}
    for word in names:
        name, _, value = word.partition("=")
        if "=" not in word or name not in WORDS[verb]:
            takes = " ".join(f"{name}=…" for name in WORDS[verb]) or "nothing"
            raise Problem(f"`{' '.join(['drill', verb]).strip()}` takes {takes}, and not {word!r}.")
        given[name] = value
    drill_id = given.pop("ID", "")
    options = [f"--{name.lower()}={value}" for name, value in given.items() if value]
    if verb:
        return [verb, *options]
    return ["start", *options, "--", drill_id] if drill_id else ["list"]


class Desk(socketserver.ThreadingUnixStreamServer):
    """Answers one `drill` after the other.

    Attributes:
        turn: Held while one is answered.
        asked: What is answered, or was last.
        missed: Answers that nobody heard to their end; told first to who asks next.
    """

    def __init__(self, path: Path, runner: Sequence[str] = (sys.executable, "-m", "tools.drills")) -> None:
        super().__init__(str(path), _Visit)
        self.runner = runner
        self.turn = threading.Lock()
        self.asked = self.missed = ""

    def answer(self, line: bytes, tell: Callable[[str], None]) -> int:
        """Do what a request asks for.

        Args:
            line: The request: what was typed after `drill`, as a list.
            tell: Called with each line of the answer, as it comes.

        Returns:
            The exit code.
        """
        self.asked = "drill"
        try:
            words = [str(word) for word in json.loads(line)]
            self.asked = "".join(filter(str.isprintable, shlex.join(["drill", *words])))
            environment = {**os.environ, "COLUMNS": COLUMNS, "TTY_COMPATIBLE": "0", "PYTHONUNBUFFERED": "1"}
            child = subprocess.Popen(
                [*self.runner, *arguments(words)], cwd=ROOT, env=environment, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except Problem as problem:
            tell(f"ERROR {problem}\n")
            return 2
        except (ValueError, TypeError, RecursionError):
            tell("ERROR This cannot be understood; ask with `drill`.\n")
            return 2
        with child:
            for said in child.stdout or ():
                tell(MAKE.sub("drill", said))
        return child.returncode


class _Visit(socketserver.StreamRequestHandler):
    """One `drill` that was typed."""

    server: Desk
    timeout = 30  # seconds without a sign, after which nobody listens any more

    def handle(self) -> None:
        desk = self.server
        line = self._read()
        if not line:
            return
        if not desk.turn.acquire(blocking=False):
            self._send(text=f"ERROR `{desk.asked}` is being answered: wait for its end.\n")
            self._end(1)
            return
        try:
            self._answer(desk, line)
        finally:
            desk.turn.release()

    def _answer(self, desk: Desk, line: bytes) -> None:
        told = []

        def tell(text: str) -> None:
            told.append(text)
            self._send(text=text)

        if desk.missed:
            self._send(text=desk.missed)
        code = desk.answer(line, tell)
        at = f"{time.strftime('%X')}  {desk.asked}"
        heard = self._end(code)
        desk.missed = "" if heard else f"{desk.missed}{at}, which nobody heard:\n{''.join(told)}\n"
        console.print(f"{at}: {code if heard else 'nobody heard it; told next time'}", markup=False)

    def _send(self, **what: object) -> None:
        with suppress(OSError):
            self.wfile.write(json.dumps(what).encode() + b"\n")

    def _end(self, code: int) -> bool:
        """Send the exit code; whether all was heard."""
        self._send(code=code)
        return bool(self._read())

    def _read(self) -> bytes:
        try:
            return self.rfile.readline(LONGEST)
        except OSError:
            return b""


@contextmanager
def connected(host: Host, socket: Path, *, again: bool) -> Iterator[subprocess.Popen[str]]:
    """`drill` is on a host, and its socket leads to ours; at the end both are taken away.

    Args:
        host: The edge host.
        socket: Ours.
        again: After a connection that broke: what is open there is a rest of it.

    Raises:
        Problem: Another desk is open there, or the host refuses something.
        UnreachableError: ssh does not get in.
    """
    sent = Path(drill.__file__).read_text(encoding="utf-8")
    done = host.run(("" if again else PROBE) + PREPARE, stdin=sent, timeout=30)
    if done.code == TAKEN:
        raise Problem(f"A desk is open on {host.name}: close it, with Ctrl-C where `make desk` was typed, or use it.")
    if done.code:
        raise Problem(f"{host.name} takes no `drill`: {done.last_words}")
    program, *words = host.ssh()
    options = [word for option in SSH for word in ("-o", option)]
    # A session of its own: Ctrl-C is for us, and ssh ends with its input.
    with subprocess.Popen(
        [program, *options, "-R", f"{SOCKET}:{socket}", *words, SESSION], text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as ssh:  # fmt: skip
        assert ssh.stdin and ssh.stdout
        try:
            last = "no reason"
            while (line := ssh.stdout.readline()) != OPEN:
                if not line:
                    raise Problem(f"{host.name} opens no socket for the desk: {last}")
                last = line.strip()
            yield ssh
        finally:
            ssh.stdin.close()
            ssh.wait()


def keep_open(host: Host, socket: Path) -> None:
    """Lead the edge host's socket to ours for ever; a host that begins anew is waited for.

    Raises:
        Problem: It could not be done for the first time.
    """
    opened = False
    while True:
        try:
            with connected(host, socket, again=opened) as ssh:
                opened = True
                console.print(f"A desk is open on {host.name}: `drill` there. Ctrl-C closes it.", markup=False)
                assert ssh.stdout
                ssh.stdout.read()
            console.print(f"{host.name} has ended the connection; waiting for it.", markup=False)
        except (Problem, UnreachableError) as error:
            if not opened:
                raise Problem(str(error)) from error
        time.sleep(RETRY_SECONDS)


def main() -> None:
    """Open the desk until Ctrl-C."""
    host = clusters.from_inventory().one_of("edge")
    with TemporaryDirectory(prefix="desk-") as folder, Desk(Path(folder) / "socket") as desk:
        threading.Thread(target=desk.serve_forever).start()
        try:
            keep_open(host, Path(folder) / "socket")
        except KeyboardInterrupt:
            console.print("The desk is closed.")
        finally:
            desk.shutdown()


if __name__ == "__main__":
    run(main)
