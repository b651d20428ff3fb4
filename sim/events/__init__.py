"""The workload of typed streams: writers, readers, consumers whose members vanish, projections with Python handlers.

    kinds              the event types, their bytes, and the streams that they are in
    deeds              what clients did and were told
    load               what all of them share
    writers            clients that append and read
    members            consumers, and their members
    part               its place in a run

What is checked of it is listed in `sim.checkers` (E1 to E5, C1 to C9, P1 to P6).
"""
