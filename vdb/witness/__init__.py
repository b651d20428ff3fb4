"""A witness: it cosigns heads of logs that only grew since it last looked, over HTTP (C2SP tlog-witness).

Whoever runs one needs no database and no key of it: a second clinic, or the compliance officer's own machine. A log
that shows it one history can't show anybody else another one unnoticed.

- `holding`  what it has of each log, on its disk, and the cosignatures it gives
- `door`     HTTP, where it is asked
- `asking`   HTTP, where somebody asks it
"""
