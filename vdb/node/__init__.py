"""A node: joins replica, kernel, storage, projections and RPC on a World.

`node` starts and ends it. Below, by the way of a request:

    doors         connections, and the methods of `interface VerityDb`: what a call asks, and what it is answered with
    gate          the one gate: `service` checks, finds the group, turns replies into answers or errors
    crud          SQL databases on the node; consumers: consumer groups; evidence: heads, proofs, audits
    preparing     the primary's side of a request: sealed, and cut where it is too large
    replication   everybody speaks to `group`, however often it is opened anew; `member` is one opening of it, with
      driver, send_gate     feeds the replica, does what it wants in order, asserts what must be durable first
      proposer, pipeline    requests become prepares, commits become replies; what is lost is told
      batch, executor       requests executed on the prepared state, commits applied, wherever their `bodies` are
      confirming            proofs for reads that must be linearizable
      checkpointer          writes checkpoints while the pipeline goes on
      group_storage         formats, opens and recovers what the group has on disk
      copying               state sync and repair of files: syncer, supplier, chunks, repairer
    peers         the other nodes: `neighbourhood`, the connections to them, who belongs to a group, and `identity`,
                  the file that says what a data directory is
    projecting    a runner for each projection of each tenant
    observer, log what onlookers and operators hear

Rules: a serving primary applies commits without a suspension in between. Errors of the disk and broken invariants end
the node; a full disk and a bad call don't. Nothing here imports `vdb.world`: a node is given its world.
"""
