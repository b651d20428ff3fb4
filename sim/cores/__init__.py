"""Pure replicas without a scheduler: a group of `vdb.vsr` state machines whose messages are lost, doubled, reordered.

TCP hides these faults from whole nodes, so they live here. `host` is the least shell that keeps the promises of
`vdb.vsr.ready`, with a disk that loses what isn't synced; `group` lets chance choose the next step, and checks.
"""
