"""Plans of Kafka's moves, whatever lies where; tests/test_members.py carries some out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.health.snapshot import Partition
from tools.verbs.moves import Moves, joining, leaving, weight

BROKERS = (1, 2, 3, 4)


@st.composite
def partitions(draw: st.DrawFn, least_free: int = 1) -> list[Partition]:
    """Partitions on four brokers, each with a broker at least that has no copy."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        width = draw(st.integers(1, len(BROKERS) - least_free))
        replicas = tuple(draw(st.permutations(BROKERS))[:width])
        isr = tuple(one for one in replicas if draw(st.booleans())) or replicas[:1]
        found.append(Partition(f"t-{number}", draw(st.sampled_from(isr)), replicas, isr, 1, sizes={replicas[0]: 10}))
    return found


def after(found: Sequence[Partition], moves: Moves) -> dict[str, tuple[int, ...]]:
    return {one.name: tuple(moves.get(one.name, one.replicas)) for one in found}


def loads(placed: dict[str, tuple[int, ...]]) -> Counter[int]:
    return Counter(broker for replicas in placed.values() for broker in replicas)


@given(partitions(), st.sampled_from(BROKERS))
def test_a_broker_that_leaves_has_nothing_and_every_partition_as_many_copies_as_before(
    found: list[Partition], broker: int
) -> None:
    moves = leaving(found, [other for other in BROKERS if other != broker], broker)
    for one in found:
        to = after(found, moves)[one.name]
        assert len(set(to)) == len(one.replicas) and broker not in to
        assert (one.name in moves) == (broker in one.replicas), "what does not lie there stays"
        assert len(set(to) - set(one.replicas)) == (broker in one.replicas), "one copy is made, and no more"


@given(partitions(), st.sampled_from(BROKERS))
def test_leaders_that_stay_keep_their_partitions(found: list[Partition], broker: int) -> None:
    moves = leaving(found, [other for other in BROKERS if other != broker], broker)
    for one in found:
        if one.name in moves and one.leader != broker and one.replicas[0] in (one.leader, broker):
            assert moves[one.name][0] == one.leader


def test_what_the_leaving_broker_led_is_led_by_copies_that_are_there() -> None:
    found = [Partition(f"t-{number}", 4, (4, 1, 2), (4, 1, 2), 2) for number in range(4)]
    moves = leaving(found, (1, 2, 3), 4)
    assert Counter(to[0] for to in moves.values()) == {1: 2, 2: 2}


def test_copies_go_to_the_brokers_that_hold_the_fewest() -> None:
    found = [Partition(f"t-{number}", 4, (4,), (4,), 1) for number in range(6)]
    assert loads(after(found, leaving(found, (1, 2, 3), 4))) == {1: 2, 2: 2, 3: 2}


def test_a_partition_without_a_place_to_go_is_refused() -> None:
    with pytest.raises(ValueError, match="t-0 has 3 copies, and 2 brokers stay"):
        leaving([Partition("t-0", 1, (1, 2, 3), (1, 2, 3), 2)], (1, 2), 3)


def test_what_moves_off_the_broker_already_is_left_alone() -> None:
    on_its_way = Partition("t-0", 1, (1, 2, 4, 3), (1, 2, 4), 2, moving=(3, 4))
    assert leaving([on_its_way], (1, 2, 3), 4) == {}


@given(partitions(), st.sampled_from(BROKERS))
def test_a_broker_that_comes_gets_its_share_and_nothing_else_moves(found: list[Partition], broker: int) -> None:
    before = loads(after(found, {}))
    moves = joining(found, BROKERS, broker)
    placed = after(found, moves)
    share = sum(before.values()) // len(BROKERS)
    for one in found:
        assert len(set(placed[one.name])) == len(one.replicas)
        if one.name in moves:
            assert broker not in one.replicas and broker in placed[one.name]
            assert len(set(one.replicas) - set(placed[one.name])) == 1
    assert len(moves) <= max(0, share - before[broker])
    assert all(loads(placed)[other] >= min(before[other], share) for other in BROKERS if other != broker)


def test_a_new_broker_gets_as_much_as_the_others_keep_and_its_share_of_the_leaders() -> None:
    found = [
        Partition(f"t-{number}", 1 + number % 3, tuple(1 + (number + step) % 3 for step in range(3)), (1, 2, 3), 2)
        for number in range(8)
    ]
    moves = joining(found, (1, 2, 3), 4)
    assert loads(after(found, moves)) == {1: 6, 2: 6, 3: 6, 4: 6}
    kept = sum(one.leader in moves.get(one.name, one.replicas) for one in found)
    assert kept >= 6, "only what is more than its own share is taken from a leader"


def test_what_moves_to_the_broker_already_counts_as_its_own() -> None:
    on_its_way = [Partition(f"t-{number}", 1, (1, 2, 3, 4), (1, 2, 3), 2, moving=(4, 3)) for number in range(3)]
    still = [Partition("s-0", 1, (1, 2, 3), (1, 2, 3), 2)]
    assert joining([*on_its_way, *still], BROKERS, 4) == {}


def test_the_weight_of_a_plan_is_what_is_copied() -> None:
    found = [Partition("t-0", 1, (1, 2), (1, 2), 1, sizes={1: 500, 2: 400})]
    assert weight(found, {"t-0": (1, 3)}) == 500
    assert weight(found, {"t-0": (2, 1)}) == 0
