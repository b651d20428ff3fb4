"""A node: joins replica, kernel, storage, projections and RPC on a World.

`node` starts and ends it. Below, by the way of a request:

    accept, rpc_face      connections, and the calls of `interface VerityDb`
    service, node_service the one gate: checks, finds the group, turns replies into answers or errors
    group                 what everybody speaks to, however often the group is opened anew
    member                one opening of it: replica, kernel and storage, and the tasks between; with
      driver, send_gate     feeds the replica, does what it wants in order, asserts what must be durable first
      proposer, pipeline    the primary's side: requests become prepares, commits become replies; what is lost is told
      preparer, batch       seals requests, and executes them on the prepared state
      executor, bodies      applies commits, wherever their bodies are
      confirming            proofs for reads that must be linearizable
      checkpointer          writes checkpoints while the pipeline goes on
      group_storage         formats, opens and recovers what the group has on disk
      copying               state sync and repair of files: syncer, supplier, chunks, repairer
    neighbourhood         the other nodes: whose messages go where, their addresses and disks; with
      peers, hello          connections between nodes, and who may have one
    reader, records       reads: frames of the event log, checked and opened
    projecting            a runner for each projection of each tenant
    membership            who belongs to a group, and how that changes
    identity              the file that says what a data directory is
    observer, log         what onlookers and operators hear

Rules: a serving primary applies commits without a suspension in between. Errors of the disk and broken invariants end
the node; a full disk and a bad call don't. Nothing here imports `vdb.world`: a node is given its world.
"""
