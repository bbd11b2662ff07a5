"""How the cluster is, gathered once, and what follows from it: may a host stop, has a unit settled.

    snapshot.gather(cluster)              everything that rules ask about, as typed data
    gate.can_stop(snapshot, host, ...)    YES, YES BUT, WAIT, NO or UNKNOWN, with the reasons
    gate.settled(snapshot, host, unit)    what a restarted unit still lacks
    watch.may_stop_now, watch.settling    the same, with a snapshot at each look
    watch.whole(cluster, seconds)         what the cluster lacks, waited for until that is nothing
    lock.held(cluster, verb)              one verb at a time
    timeline.gather(cluster, begin, end)  what happened on all hosts
    support.make(cluster)                 all of it in one archive, for somebody who helps

The rules are pure functions over one snapshot; `python -m tools.health` prints their answers.
"""
