"""Viewstamped Replication with the disk in the fault model: one replica as a pure state machine.

Departures from the paper (Viewstamped Replication Revisited, 2012), and why
- View and log_view are durable before any message that depends on them leaves. There is no recovery protocol in
  memory: it can't survive a crash of the whole group.
- Prepares are chained: each header carries its parent's checksum, so one checksum names a whole history.
- Votes carry headers with present and nack bits, not whole logs: what is damaged isn't absent.
- A replica that hears of a newer view doesn't cut its log to its commit number; it asks for that view's log first.
- A start_view_change is a wish: nobody enters a view before a quorum wants it.
- One of two that isn't sure of its head abstains: its vote counts for the quorum and says nothing of the log. Of more,
  it takes no part, as in the paper: the others don't need it.
- Each header names the members that count from its op on. A reconfiguration commits with quorums of the old and of the
  new members, and a view starts with quorums of every configuration that its log may be under; there are no epochs
  that end.
- A group of one runs the same machine, journal and send gate as a larger one. It raises its view at each start, so
  that no two runs of the process ever speak for the same view.

Where to begin: `message` says what goes in, `ready` what comes out and in which order it must be done, `replica` is the
machine, `table` what it does with which input. The rules stand in `normal`, `view_change` (with `choice` of the log),
`repair`, `opening` and `ticks`, over `state` and `log`. `header`, `configuration` and `tail` are bytes that are kept.
`rhythm`, `timing` and `clock_sync` are about time, on which safety never depends.
"""
