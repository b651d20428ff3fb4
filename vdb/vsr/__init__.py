"""Viewstamped Replication with the disk in the fault model: one replica as a pure state machine.

Departures from the paper (Viewstamped Replication Revisited, 2012), and why
- View and log_view are durable before any message that depends on them leaves. There is no recovery protocol in
  memory: it can't survive a crash of the whole group.
- Prepares are chained: each header carries its parent's checksum, so one checksum names a whole history.
- A group of one runs the same machine, journal and send gate as a larger one. It raises its view at each start, so
  that no two runs of the process ever speak for the same view.

`header` is the format of an op; `message` what goes in; `ready` what comes out and in which order it must be done;
`replica` the machine and its table; `quorum` the quorums.
"""
