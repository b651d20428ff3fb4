"""Checkers: oracles outside the nodes, with bookkeeping of their own, fed by every incarnation of every replica.

What they check has an id, by which verdicts, planted bugs and stories name it; behind it the module that looks:

    I1   at each op one checksum is ever committed, by all replicas, across restarts             ledger
    I2   commit moves by exactly one, except for replay and state sync                           ledger
    I3   each committed prepare's parent is the checksum of the one before                       ledger
    I4   views of committed prepares never decrease                                              ledger
    I5   an op that was acknowledged to a client is in the log for good                          linearizable, readback
    I6   what a replica acked it keeps, across crashes; one whose disk was lost promises nothing acks, standing
    I7   when an op is committed, a replication quorum has it on durable media, now              commits
    I8   only the primary of a view starts it and says what is committed in it                   standing
    I9   after a vote for a newer view no ack for an older one leaves                            acks
    I10  the superblock's view, log_view and commit never go back; log_view <= view              promises
    I11  no message speaks of a view or log_view that isn't durable                              promises
    I12  all votes of a replica for one view are identical                                       votes
    I13  votes with the same log_view don't conflict                                             votes
    I14  nothing that was committed is cut, or missing where a view starts                       logs
    I15  a nack is truthful, by the history of acks                                              acks
    I16  a present bit is truthful                                                               votes
    I17  repair never moves the head; who is unsure of it neither votes nor acks                 logs, standing
    I18  acks are counted per distinct replica, prepare and view                                 commits
    I19  a (session, request) executes at most once                                              ledger
    I20  a (session, request) has one reply, however often it is sent                            ledger
    I21  a session's requests execute in order                                                   ledger
    I22  the clients' history is linearizable, with unknown outcomes allowed                     linearizable
    I23  the table of sessions is equal on all replicas: a part of I24                           shadow
    I24  the state's hash at an op is the same wherever and whenever that op is reached          shadow
    I25  checkpoints at the same op are equal, on all replicas                                   checkpoints
    I27  no WAL slot is written again before its op is in a durable checkpoint: of the replica,
         and of a replication quorum where the primary proposes                                  promises, commits
    I29  recovery is idempotent: the nemesis crashes recoveries, and all of the above hold
    I30  a deposed primary serves no read that claims to be linearizable: a part of I22
    I31  timestamps strictly increase with the op                                                ledger
    I32  queues, pipelines and sessions stay within their limits                                 ledger, promises
    I33  no ack and no reply depends on a write that isn't synced                                promises
    I34  a learner never acks or votes                                                           standing
    I35  after a state sync the state equals that of the ops: a part of I24                      shadow, convergence
    I36  with a sound core every request is answered within a bound                              simulation
    I37  a view begins only when a quorum wants it at the same time                              wishes
    I38  an idle cluster converges                                                               convergence
    I39  two runs of a seed have the same digest: a test
    I40  faults that can be survived lose nothing; beyond them nodes stop, and serve nothing false

Words instead of a number ("gap-free", "segments", "projection", "placement", "no-plaintext", ...) name what that list
doesn't have. What concerns one slot of one WAL (I26, I28) is tested where recovery is.
"""
