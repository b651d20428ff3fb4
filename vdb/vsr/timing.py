"""How long a replica waits for what, in ticks. The shell says what a tick is; safety depends on none of these."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Timing:
    """Ticks. A tick is 10 ms in production unless the configuration says otherwise."""

    heartbeat: int = 5
    """Between two heartbeats of the primary."""
    ping: int = 20
    """Between two pings of any member."""
    suspicion_min: int = 20
    """Silence of the primary that is never held against it."""
    suspicion_max: int = 200
    """Silence after which it is given up, whatever its rhythm was."""
    suspicion_beats: int = 5
    """Beats of the primary's own rhythm, the moving average of its intervals, that may be missed."""
    jitter: int = 6
    """At most so much is added to each suspicion, drawn anew each time."""
    resend: int = 5
    """Between two copies of a vote, a pre-vote or a request that nobody answered."""
    view_change: int = 40
    """A view that hasn't started for so long is given up for the next; doubled at each failure up to eight times."""
    vote_expiry: int = 30
    """A pre-vote counts for so long."""
    repair: int = 2
    """Between two rounds of repair."""
    repair_budget: int = 8
    """Prepares asked for in one round."""
    step_down: int = 60
    """A primary that hears no quorum for so long gives up its view."""
    sync_after: int = 30
    """Repair that gets nowhere for so long, while others have a checkpoint above, becomes state sync."""
