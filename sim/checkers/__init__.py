"""Checkers: oracles outside the node, with bookkeeping of their own.

What they check has an id, by which verdicts, planted bugs and stories name it:

    I1   at each op one checksum is ever committed, across restarts
    I2   commit moves by exactly one, except for replay
    I3   each committed prepare's parent is the checksum of the one before
    I4   views of committed prepares never decrease
    I5   an op that was acknowledged to a client is in the log for good
    I7   when the primary commits, the prepare is on durable media, now
    I10  the superblock's view, log_view and commit never go back; log_view <= view
    I11  no message speaks of a view or log_view that isn't durable
    I19  a (session, request) executes at most once
    I20  a (session, request) has one reply, however often it is sent
    I21  a session's requests execute in order
    I22  the clients' history is linearizable, with unknown outcomes allowed
    I24  the state's hash at an op is the same whenever that op is reached
    I25  checkpoints at the same op are equal
    I27  no WAL slot is overwritten before its op is in a durable checkpoint
    I31  timestamps strictly increase with the op
    I32  queues, pipelines and sessions stay within their limits
    I33  no ack and no reply depends on a write that isn't synced
    I36  after the faults end, every request is answered within a bound
    I40  faults that can be survived lose nothing; beyond them the node stops, and serves nothing false

The numbers are those of the protocol's whole list, of which a group of one has these. Words instead of a number
("gap-free", "segments", "projection", "no-plaintext", ...) name what that list doesn't have.
"""
