"""Hosts on this machine: `shopfloor_lab` makes them as root, `python -m lab` tells it what an inventory wants."""
