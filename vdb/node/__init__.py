"""A node: joins replica, kernel, storage, projections and RPC on a World.

`node` starts and ends it. Below, by the way of a request:

    accept, rpc_face      connections, and the calls of `interface VerityDb`
    service, node_service the one gate: checks, finds the group, turns replies into answers or errors
    group                 one member of a group: queue, pipeline, commits; with
      preparer, batch       seals requests, and executes them on the prepared state
      send_gate             asserts what must be durable before a message leaves
      checkpointer          writes checkpoints while the pipeline goes on
      group_storage         formats, opens and recovers what the group has on disk
    reader, records       reads: frames of the event log, checked and opened
    projecting            a runner for each projection of each tenant
    identity              the file that says what a data directory is
    observer, log         what onlookers and operators hear

Rules: commits are applied without a suspension in between. Errors of the disk and broken invariants end the node; a
full disk and a bad call don't. Nothing here imports `vdb.world`: a node is given its world.
"""
