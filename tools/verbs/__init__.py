"""What changes a running cluster: the plan first, then, under one lock, Ansible, which asks the gate before each stop.

plan.py      what will be done, in which order, and what it interrupts; what has begun and not ended
restart.py   daemons that run, one after the other
members.py   what the next three share
moves.py     which partitions of Kafka move when a broker comes or leaves
add.py       a host of the inventory is deployed and gets its share
remove.py    a host gives what it has to the others and leaves
replace.py   a host that was rebuilt with empty disks becomes again what it was
"""
