"""Simulated ports: network, disk, clock and entropy with faults, and the fence that a crash puts before them."""
