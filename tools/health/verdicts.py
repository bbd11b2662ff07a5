"""What a rule can say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tools.health.snapshot import Silent, Snapshot


class Purpose(Enum):
    """Why a host is to stop."""

    RESTART = "restart"
    REMOVE = "remove"


class Verdict(Enum):
    """What may be done, from the best to the worst.

    Attributes:
        exit_code: Of the command that says it.
    """

    YES = ("YES", 0)
    BUT = ("YES BUT", 0)
    """Something is interrupted that cannot be kept up."""
    WAIT = ("WAIT", 3)
    """It heals by itself."""
    UNKNOWN = ("UNKNOWN", 2)
    """A system did not answer."""
    NO = ("NO", 1)
    """A person must do something first."""

    def __init__(self, words: str, exit_code: int) -> None:
        self.words = words
        self.exit_code = exit_code

    @property
    def gravity(self) -> int:
        """The worse, the higher."""
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Reason:
    """Why a verdict is not simply yes.

    Attributes:
        verdict: What it leads to.
        rule: Which rule says so; `drain` when what lies on a host to be removed must be moved first.
        subject: The partition, block, quorum or application that it is about.
        text: What is so, with numbers, as a sentence.
        next_step: What to do, as a sentence.
        number: What was measured; its trend tells whether something moves.
        bound: What it would have to reach.
        was: What was measured some seconds before, when that was asked.
    """

    verdict: Verdict
    rule: str
    subject: str
    text: str
    next_step: str = ""
    number: float | None = None
    bound: float | None = None
    was: float | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.next_step}".strip()


def worst(reasons: tuple[Reason, ...]) -> Verdict:
    """The verdict that several reasons come to."""
    return max((reason.verdict for reason in reasons), key=lambda verdict: verdict.gravity, default=Verdict.YES)


def silence(rule: str, system: str, silent: Silent) -> Reason:
    """The reason when somebody did not answer."""
    return Reason(
        Verdict.UNKNOWN,
        rule,
        system,
        f"{system} did not answer ({silent.why}).",
        "`make status` says what runs; ask again when it answers.",
    )


@dataclass(frozen=True)
class Doubt:
    """Why a daemon elsewhere cannot be counted on, and what follows from it."""

    verdict: Verdict
    text: str
    next_step: str


AGAIN = "Ask again in some seconds."
REMOVES = "`make remove HOST={host}` moves them to the others first."


def doubt_about(snapshot: Snapshot, host: str, unit: str, daemon: str) -> Doubt | None:
    """Why a daemon cannot be counted on as far as its host can tell; None when its unit is active."""
    state = snapshot.unit(host, unit)
    if isinstance(state, Silent):
        return Doubt(Verdict.UNKNOWN, f"{host} did not answer ({state.why}).", f"Bring {host} back, or ask again.")
    if state.active:
        return None
    if state.coming:
        return Doubt(Verdict.WAIT, f"{host}'s {daemon} is {state.state}.", AGAIN)
    start = f"Start it: `make ssh HOST={host}`, then `sudo systemctl start {unit}`."
    return Doubt(Verdict.NO, f"{host}'s {daemon} does not run ({state.state}).", start)


def may_run(snapshot: Snapshot, host: str, unit: str) -> bool:
    """Whether a unit runs or is starting; one whose host does not answer may."""
    state = snapshot.unit(host, unit)
    return isinstance(state, Silent) or state.active or state.coming


def nameless(snapshot: Snapshot, host: str, unit: str, daemon: str, system: str) -> Iterator[Reason]:
    """The reason when a daemon runs of which its system knows nothing: what it holds is not known then."""
    state = snapshot.unit(host, unit)
    if isinstance(state, Silent) or state.active:
        text = f"{system} knows no {daemon} by the name of {host}, where one runs."
        yield Reason(Verdict.UNKNOWN, "name", host, text, f"{AGAIN} If it stays so: `journalctl -u {unit}` there.")


def not_yet(rule: str, host: str, text: str, number: float | None = None, bound: float = 0) -> Reason:
    """The reason why a daemon has not settled yet."""
    return Reason(Verdict.WAIT, rule, host, text, AGAIN, number, bound)


def count(number: int, thing: str, plural: str = "") -> str:
    """A number of things: `1 block`, `1,204 blocks`, `no block`."""
    return f"{number or 'no'} {thing}" if number < 2 else f"{number:,} {plural or thing + 's'}"


def size(number: float) -> str:
    """Bytes as one reads them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def only(host: str, group: str, loss: str) -> Reason:
    """The reason why the last host of a group is not removed."""
    return Reason(
        Verdict.NO,
        "last",
        group,
        f"{host} is the only host in the group {group}: without it {loss}.",
        f"Add another host to {group} first.",
        1,
        2,
    )
