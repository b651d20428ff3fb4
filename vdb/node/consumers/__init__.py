"""Consumer groups: from the log to a member, from its answers into the log, and what was given up."""
