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
    I14  nothing that was committed is cut, or missing where a view starts; the log of a view is
         chosen from a quorum's votes by log_view, and cut where nobody can have acked           logs, choices
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
    I30  a deposed primary serves no read that claims to be linearizable: a part of I22, and
         each proof is of a quorum that was in the view after the question                       rounds
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

Of the SQL workload, where a deed is a client's transaction, or its statement alone:

    Q1   a deed is in the log at most once, its events are whole, contiguous and numbered        sql_log
    Q2   a deed that was acknowledged, and changed something, is in the log                      sql_deeds
    Q3   a deed that definitely failed, or whose commit nobody asked for, isn't                  sql_deeds
    Q4   at the end of each transaction, the replay of the log holds what plain SQLite holds
         that ran the logged deeds' statements in the log's order: schema, rows, sequences       sql_log, sql_deeds
    Q5   results, errors and counts of each statement are plain SQLite's at its place in the
         log; of a deed that isn't in the log, at some place between its begin and its end       sql_deeds
    Q6   a node's file holds what the replay holds at the place that the file names, whenever
         a life of the node has ended                                                            sql_files
    Q7   the same for reads: a session sees the log up to where its snapshot says that it is,
         and nothing that isn't in the log                                                       sql_deeds
    Q8   the database AS OF any offset is what the replay held there                             sql_past
    Q9   after all faults, a fresh session sees all that the log has                             sql.part
    Q10  the files of an idle cluster come up to the log: a part of I38                          sql.part
    Q11  deeds lie in the log in the order of real time, where they were told so; a file that
         is said to be fresh holds all that was acknowledged                                     sql_deeds

Of the workload of typed streams:

    E1   an append that was acknowledged is in the log, whole, once, where its client was told   events_log
    E2   a read by filter saw what fits, in the order of the log, nothing left out or twice      events_reads
    E3   a linearizable read to the end saw all that had been acknowledged when it began         events_reads
    E4   an event has one time, and reads from a time begin with the first that isn't older      events_reads
    E5   an aggregate is the fold of its stream up to the offset that it names                   events_reads
    E6   an append that comes again is answered as the first time                                events_resent
    E7   heads of the log have the root of the ledger's tree, and never grow shorter             evidence
    E8   a proof's leaf is that of the record which holds the event                              evidence
    P1   a projection's file is the fold of the log up to its position, without what it passed
         over, whenever a life of the node has ended                                             events_projected
    P2   so are the rows that anybody is given, and no node gives older ones than before         events_projected
    P3   effects come after their rows' commit, once at most, of events that handlers took       sim.events.effects
    P4   what handlers refuse is passed over as the policy says, and nothing else is             events_projected
    P5   rows of one version at one place don't differ, whoever built them                       sim.events.steward
    P6   who was told of an append finds its events in the rows of inline projections            events_inline
    C1   a delivery is an event of the log that fits the consumer's filter                       consumer_deeds
    C2   it is made again only once its time is over, after a nak and its delay, or when its
         member has left; an attempt is made once                                                consumer_deeds
    C3   no more attempts than `max_deliver`                                                     consumer_deeds
    C4   no more in flight than the group's limit, and the member's                              consumer_deeds
    C5   with an order, one of a key is out, in the order of the log                             consumer_deeds
    C6   what was acked stays so; an answer to an older attempt is late                          consumer_deeds
    C7   in the end each event was settled, or is a dead letter                                  consumer_deeds
    C8   dead letters are those that a member gave up, or whose attempts ran out                 consumer_deeds
    C9   what was done with dead letters is told by an event, with who did it and why            consumer_audit

Of audit logs:

    A1   each write of PHI that was committed has its entry in the same op                       audits
    A2   entries are numbered without a gap; times don't fall, and are of their ops              audits
    A3   each answered read of PHI has an entry of its own, committed before the answer          audits
    A4   only what nodes write of themselves is told of as theirs                                audits

Of the workload of governance:

    G1   policies of the global group have serials from 1, one above the other                   governed
    G2   a region's copies are policies of the global log, as they stand there, and rise         governed
    G3   a grant ends at its time, or with its one review, by somebody else                      governed
    G4   policies, grants and consents of every replica, and what it decides by, are those
         that its ops lead to                                                                    governed
    G5   what people were told of them is so                                                     sim.governance.part
    G6   an idle cluster's regions go by the last policy: a part of I38                          sim.governance.part

Of the workload of erasures:

    E1   what an acknowledged erasure covers is read as erased, everything else as it was written   sim.erasing.part
    E2   nothing is appended about a subject whose erasure was acknowledged                       sim.erasing.part
    E3   who says that its disk is rid of the keys has them in no file                            sim.erasing.part
    E4   an erasure that is told as complete has left its keys on no member's disk                sim.erasing.part
    E5   an idle cluster's erasures are complete: a part of I38                                   sim.erasing.part
    E9   what is about a subject of whom a node says that its disk is rid is in no rows there, of
         now or before; nor in any row's history once the node goes by the erasure                erased_rows
    E10  rows about others, and their history, are what the log has; nothing is written about a
         subject after the erasure                                                                erased_rows
    E11  nor does any page of any file of such rows hold it, under any key                        erased_rows
    E12  an idle cluster's erasures of rows are complete: a part of I38                           sim.erasing.rows
    D1   what is in a pruned segment had expired or been erased, and no hold was on it            sim.retaining.part
    D2   who says that its disk is rid of what was pruned has no sealed byte of it in any file     sim.retaining.part
    D3   what wasn't pruned or erased is read as it was written                                   sim.retaining.part
    D4   an idle cluster's members have all said so: a part of I38                                sim.retaining.part
    K1   an idle cluster's tenants' keys are under the root key of the last rotation: a part of I38   sim.rotating.part
    K2   a record is sealed under a key of the period that it lies in                             contents
    K3   a key that is wrapped anew is the same key                                               contents
    K4   no tenant has more periods of keys than rotations were asked for                         sim.rotating.part
    K5   when all is mended no member's disk needs a root key that was replaced: of I36 and I40   sim.rotating.part

Of witnesses beside the cluster (one that is alone is tortured by `sim.witnessing`, which has W1 and W2 of its own):

    W2   what a witness has cosigned it knows, across crashes                                    sim.cosigning.host
    W3   what a witness has cosigned is the tree of so many of the records that were committed,
         so of any two one begins with the other (W1), across view changes                       cosigned
    W4   what a node shows as cosigned is signed by its log and all witnesses, who did sign it   cosigned
    W5   an idle cluster has all trees cosigned as they are: a part of I38                       sim.cosigning.part
    W6   a head that was rolled back or forked is refused, and a node whose log isn't the one
         that a witness knows says so                                                            sim.cosigning.part

Of several regions:

    abroad-wire  no node is sent another region's data, in clear or sealed                       abroad
    abroad-disk  nor has any on its disk, also by what stands in one sealed record alone         abroad

Words instead of a number ("gap-free", "segments", "projection", "placement", "no-plaintext", ...) name what that list
doesn't have. What concerns one slot of one WAL (I26, I28) is tested where recovery is.
"""
