"""What lies on disk, written against the `Disk` port: superblock, write-ahead log, event log, checkpoints, scrubber."""
