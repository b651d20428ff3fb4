"""The audit log: what stands in it, and what is made of it. Pure.

- `entry`   one entry: who did what to whose data, why, by which rule, and how it ended
"""
