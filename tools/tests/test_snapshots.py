"""Snapshots of a lab: which layers stay, which go, and that nothing between two states is ever on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import __main__ as verbs
from lab.shopfloor_lab import lifecycle, model, snapshots
from lab.shopfloor_lab.model import Lab, LabError
from lab.shopfloor_lab.progress import Progress
from tools.terminal import Problem

HOSTS = ("master1", "edge1")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab as it is on the disk after its first start."""
    hosts = [{"name": name, "address": f"192.168.56.{11 + number}"} for number, name in enumerate(HOSTS)]
    made = model.parse({"name": "lab", "root": str(tmp_path), "hosts": hosts})
    for host in HOSTS:
        write(made, host, "upper")
    return made


def write(lab: Lab, host: str, layer: str) -> None:
    folder = lab.host_home(host) / layer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "written").write_text(layer)


def go_on(lab: Lab, known: dict[str, Any]) -> None:
    """Let every host write to its present layer, as one that was started does."""
    for host in HOSTS:
        write(lab, host, snapshots.layers(known)[-1])


def on_disk(lab: Lab) -> set[str]:
    return {layer.name for layer in (lab.home / "hosts").glob("*/*")}


def taken(lab: Lab, *names: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in names:
        snapshots.take(known, lab, name, [])
        go_on(lab, known)
    return known


def test_a_snapshot_freezes_the_present_layer_and_its_size_is_told(lab: Lab) -> None:
    known = taken(lab, "healthy")
    assert snapshots.layers(known) == ["upper", "upper-1"]
    kept = snapshots.kept(known)["healthy"]
    assert (kept["layers"], kept["hosts"]) == (["upper"], list(HOSTS))
    assert kept["bytes"] >= len(HOSTS) * 4096


def test_a_rewind_gives_up_what_was_written_since_and_keeps_the_snapshot_for_the_next_one(lab: Lab) -> None:
    known = taken(lab, "healthy")
    for number in (2, 3):
        snapshots.go_back(known, lab, "healthy")
        assert snapshots.layers(known) == ["upper", f"upper-{number}"], "a layer's name is never used again"
        go_on(lab, known)
        assert snapshots.remove_unused(known, lab)
        assert on_disk(lab) == {"upper", f"upper-{number}"}
    assert not snapshots.remove_unused(known, lab)


def test_a_rewind_to_an_earlier_snapshot_keeps_the_later_one(lab: Lab) -> None:
    known = taken(lab, "empty", "full")
    snapshots.go_back(known, lab, "empty")
    go_on(lab, known)
    snapshots.remove_unused(known, lab)
    assert on_disk(lab) == {"upper", "upper-1", "upper-3"}
    snapshots.go_back(known, lab, "full")
    assert snapshots.layers(known) == ["upper", "upper-1", "upper-4"]


def test_a_deleted_snapshot_gives_its_space_back_when_nothing_stands_on_it(lab: Lab) -> None:
    known = taken(lab, "empty", "full")
    del snapshots.kept(known)["empty"]
    assert not snapshots.remove_unused(known, lab)
    snapshots.kept(known)["bottom"] = {"layers": ["upper"], "hosts": list(HOSTS)}
    snapshots.go_back(known, lab, "bottom")
    del snapshots.kept(known)["full"]
    assert snapshots.remove_unused(known, lab)
    assert on_disk(lab) == {"upper"}


def test_what_an_interrupted_verb_left_behind_does_not_come_to_life_again(lab: Lab) -> None:
    write(lab, "master1", "upper-7")
    known = taken(lab, "healthy")
    assert snapshots.layers(known) == ["upper", "upper-8"]


def test_a_snapshot_with_a_host_that_left_the_inventory_is_given_up_with_it(lab: Lab) -> None:
    known = taken(lab, "healthy")
    assert snapshots.drop_hosts(known, {"worker9"}) == []
    assert snapshots.drop_hosts(known, {"edge1"}) == ["healthy"]
    assert snapshots.kept(known) == {}


def test_a_snapshot_that_is_older_than_a_host_is_refused(lab: Lab) -> None:
    known = taken(lab, "healthy")
    snapshots.kept(known)["healthy"]["hosts"] = ["master1"]
    with pytest.raises(LabError, match="older than edge1"):
        snapshots.go_back(known, lab, "healthy")
    assert snapshots.layers(known) == ["upper", "upper-1"]


def test_an_unknown_name_is_answered_with_the_nearest(lab: Lab) -> None:
    with pytest.raises(LabError, match="make snapshot NAME=helthy"):
        snapshots.go_back({}, lab, "helthy")
    known = taken(lab, "healthy", "broken")
    with pytest.raises(LabError, match=r"no snapshot 'helthy': did you mean healthy\?"):
        snapshots.go_back(known, lab, "helthy")
    with pytest.raises(LabError, match="there are healthy, broken"):
        snapshots.find(known, lab, "quite-else")


@pytest.mark.parametrize("name", ["", "Healthy", "../healthy", "two words", "x" * 41])
def test_a_name_that_cannot_be_used_is_refused(lab: Lab, name: str) -> None:
    with pytest.raises(LabError, match="cannot name a snapshot"):
        snapshots.refuse_new({}, lab, name)


def test_a_name_that_is_taken_is_refused_and_says_when_the_hosts_are_stopped(lab: Lab) -> None:
    known = taken(lab, "healthy")
    with pytest.raises(LabError, match=r"DELETE=healthy.*`make hosts` starts them"):
        snapshots.refuse_new(known, lab, "healthy")


def test_a_full_disk_and_too_many_snapshots_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"layers": [f"upper-{number}" for number in range(snapshots.DEPTH_MAX)]}
    with pytest.raises(LabError, match="40 snapshots already"):
        snapshots.refuse_new(known, lab, "healthy")
    snapshots.refuse_new({}, lab, "healthy")
    monkeypatch.setattr(snapshots, "ROOM_MIB", 2**40)
    with pytest.raises(LabError, match="MiB of free disk"):
        snapshots.refuse_new({}, lab, "healthy")


def test_a_rewind_that_is_interrupted_before_the_switch_leaves_the_old_state(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"lab": model.to_dict(lab), "base": "base", "generation": 1} | taken(lab, "healthy")
    lifecycle._write_json(lab.home / "lab.json", known)
    before = (lab.home / "lab.json").read_text()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "_require_root", lambda: None)
    monkeypatch.setattr(Progress, "say", lambda *_, **__: None)
    for step in ("_stop", "_write_json"):
        with monkeypatch.context() as during:
            during.setattr(lifecycle, "_stop", lambda *_, **__: None)
            during.setattr(lifecycle, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                lifecycle.rewind(lab, "healthy")
        assert (lab.home / "lab.json").read_text() == before
        assert on_disk(lab) == {"upper", "upper-1"}


def test_hosts_that_no_lab_made_are_told_who_takes_them_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "ROOT", tmp_path)
    with pytest.raises(Problem, match=r"No lab byo was made here \(`make lab` makes one\)"):
        verbs.stored(tmp_path / "inventories" / "byo")
    machine = tmp_path / ".vagrant" / "machines" / "master1" / "libvirt"
    machine.mkdir(parents=True)
    (machine / "id").touch()
    with pytest.raises(Problem, match="`vagrant snapshot save healthy`"):
        verbs.list_snapshots(tmp_path / "inventories" / "lab")
