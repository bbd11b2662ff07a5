"""How a shop's sales files are read: one reading for the look before a deployment, batch, producer and oracle's list.

Plain Python: nothing here knows Spark, Kafka or Ansible.
"""
