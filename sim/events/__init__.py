"""The workload of typed streams: writers, readers, consumers whose members vanish, projections with Python handlers.

    kinds              the event types, their bytes, and the streams that they are in
    deeds              what clients did and were told
    load               what all of them share
    writers, readers   clients that append and read
    resending          appends that come again from somebody else
    auditors           clients that ask for proofs
    members            consumers, and their members
    projecting         the projection, and the same rows folded without it
    steward            who has it built anew, switched, tried again
    effects            what it does in the world after a commit
    part               its place in a run

What is checked of it is listed in `sim.checkers` (E1 to E8, C1 to C9, P1 to P6).
"""
