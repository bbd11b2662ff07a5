"""The drill that runs on a cluster, and results. They lie in the checkout; nothing of them is on the hosts."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.cluster import Cluster
from tools.drills.grading import Marks
from tools.drills.guards import Facts
from tools.health import lock

FOLDER = ROOT / ".cache" / "drills"
KEY = "DRILLS_KEY"
"""Variable with the key that results are signed with: the teacher's, whose students do not have it."""


@dataclass
class Running:
    """A drill that runs.

    Attributes:
        id: Its name.
        seed: What chose hosts and values.
        before: Facts before the fault.
        fault: Facts with it; nothing while it is being made.
        injected: When the fault was made, in seconds since 1970.
        told: When the story was told, at which the clock starts; 0 while it was not.
        diagnosed: When the first diagnosis came.
        located: When cause, host and unit were right.
        hints: How many were given.
        tries: Diagnoses that were wrong.
        verified: Verdicts that were NO.
        marks: Of the last diagnosis.
        shown: Whether the solution was shown: what is said after it counts for nothing.
    """

    id: str
    seed: int
    before: Facts
    fault: Facts = field(default_factory=dict)
    injected: float = field(default_factory=time.time)
    told: float = 0
    diagnosed: float = 0
    located: float = 0
    hints: int = 0
    tries: int = 0
    verified: int = 0
    marks: Marks = field(default_factory=Marks)
    shown: bool = False


def running(cluster: Cluster) -> Running | None:
    """The drill that runs on a cluster."""
    path = _path(cluster)
    if not path.exists():
        return None
    words = json.loads(path.read_text(encoding="utf-8"))
    return Running(**{**words, "marks": Marks(**words["marks"])})


def save(cluster: Cluster, drill: Running | None) -> None:
    """Keep how far a drill is; None when it is over."""
    path = _path(cluster)
    if drill is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(drill)), encoding="utf-8")
    part.replace(path)


def _path(cluster: Cluster) -> Path:
    return FOLDER / "running" / f"{lock.path_of(cluster).stem}.json"


def write_result(result: Mapping[str, Any]) -> Path:
    """Write a result, signed when the environment has a key."""
    folder = FOLDER / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{result['drill']}.json"
    key = os.environ.get(KEY, "")
    path.write_text(json.dumps({**result, **({"signature": signature(result, key)} if key else {})}, indent=1) + "\n")
    return path


def results() -> list[tuple[dict[str, Any], str]]:
    """All results, the oldest first, and what the signature of each is worth."""
    return [read_result(path) for path in sorted((FOLDER / "results").glob("*.json"))]


def read_result(path: Path) -> tuple[dict[str, Any], str]:
    """A result, and what its signature is worth: `signed`, `forged`, or nothing when the environment has no key."""
    key = os.environ.get(KEY, "")
    result = json.loads(path.read_text(encoding="utf-8"))
    signed = str(result.pop("signature", ""))
    right = hmac.compare_digest(signed.encode(), signature(result, key).encode()) if key else False
    return result, "" if not key else "signed" if right else "forged"


def signature(result: Mapping[str, Any], key: str) -> str:
    """HMAC-SHA256 of a result's content."""
    content = json.dumps(result, sort_keys=True, ensure_ascii=False).encode()
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
