"""Witnesses beside a cluster, which has the heads of its trees cosigned by them.

    host       a witness on a machine of its own, over all its lives; now and then somebody else answers there
    part       what goes on in a run: hosts, what happens to them, and what nodes show as cosigned
    forging    somebody with a key of the log who shows a witness another history

What is checked of it is listed in `sim.checkers` (W1 to W6).
"""
