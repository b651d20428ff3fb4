"""The simulator: production nodes on simulated worlds, tortured by faults that one seed decides.

It imports `vdb`; `vdb` never imports it.
"""
