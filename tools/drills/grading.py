"""Points of a diagnosis: 40 for the cause, 20 for host and unit, 20 for evidence, 20 for the order of the chain."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

CAUSE, PLACE, EVIDENCE, CHAIN = 40, 20, 20, 20
HINT, WRONG_TRY = 5, 5
SHORTEST = 12  # characters: less than that is found everywhere


@dataclass(frozen=True)
class Marks:
    """What a diagnosis is worth, before hints and wrong tries are paid.

    Attributes:
        cause: Of 40.
        place: Of 20; 10 for the host alone.
        evidence: Of 20.
        chain: Of 20.
    """

    cause: int = 0
    place: int = 0
    evidence: int = 0
    chain: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return self.cause + self.place + self.evidence + self.chain


def cause_marks(said: Collection[str], true: Collection[str]) -> int:
    """Points for causes: those named rightly, of all that were named or are true."""
    return round(CAUSE * len(set(said) & set(true)) / len(set(said) | set(true)))


def place_marks(host: str, unit: str, true: Iterable[tuple[str, str]]) -> int:
    """Points for host and unit."""
    places = list(true)
    if (host, unit.removesuffix(".service")) in places:
        return PLACE
    return PLACE // 2 if host in {place for place, _ in places} else 0


def matches(pattern: str, line: str) -> bool:
    """Whether a line says what evidence has to say."""
    return bool(re.search(pattern, _plain(line)))


def stands_in(line: str, output: str) -> bool:
    """Whether a line, or a good part of one, is found in an output; blanks do not matter."""
    wanted = _plain(line)
    return len(wanted) >= SHORTEST and any(wanted in _plain(there) for there in output.splitlines())


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def shuffled(links: Sequence[str], dice: random.Random) -> dict[str, str]:
    """Links of a chain in another order, each with a letter."""
    mixed = list(links)
    while mixed == list(links):
        dice.shuffle(mixed)
    return dict(zip(string.ascii_lowercase, mixed, strict=False))


def chain_marks(order: str, lettered: dict[str, str], links: Sequence[str]) -> int:
    """Points for an order of letters: pairs of neighbours that are in the right order, of all there are."""
    places = [links.index(lettered[letter]) for letter in order.lower() if letter in lettered]
    if len(set(places)) != len(links) or len(places) != len(links):
        return 0
    right = sum(later == former + 1 for former, later in pairwise(places))
    return round(CHAIN * right / (len(links) - 1))


def grade(marks: Marks, hints: int, wrong_tries: int) -> int:
    """The grade: marks less what hints and wrong tries cost, and never below nothing."""
    return max(0, marks.total - HINT * hints - WRONG_TRY * wrong_tries)
