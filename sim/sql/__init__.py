"""The SQL workload: scripts drawn from a grammar, clients with sessions inside the nodes, the model in plain SQLite.

    values, shapes     what rows and tables look like
    grammar, changes   scripts: transactions and single statements over these tables
    deeds              what clients did and were told
    clients            sessions on the simulated nodes
    model              the same statements in plain SQLite

What is checked of it is listed in `sim.checkers` (Q1 to Q11).
"""
