"""What changes a running cluster: the plan first, then, under one lock, Ansible, which asks the gate before each stop.

plan.py      what will be done, in which order, and what it interrupts; what has begun and not ended
restart.py   daemons that run, one after the other
"""
