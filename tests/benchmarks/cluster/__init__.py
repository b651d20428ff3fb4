"""Three systems side by side, each as three nodes on loopback that sync to disk before they acknowledge.

    comparison   what is measured, in which order, and which ratios must be reached
    system       what a system under test can be asked to do
    verity, etcd, postgres
                 the three systems: how they are started, loaded, and robbed of their primary
    link         one connection as bytes, the same interface for all three
    capnp_link, etcd_link, postgres_link
                 the three protocols; `grpc` is what etcd's stands on
    load         the process that loads VerityDB or etcd through a link
    probe        the time from a kill to the next acknowledgement

The load comes from a process of its own that does as little for a request as it can, because it takes its time from
the same cores: pgbench for PostgreSQL, and for the other two a loop around a socket that writes requests that are
built already and counts what is answered. A peer that isn't installed is named and skipped.
"""
