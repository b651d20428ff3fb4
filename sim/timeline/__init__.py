"""One run to look at: what is recorded of it, and the page that draws it.

    event      one thing that happened, as the page knows it
    describe   messages, observers' arguments and trace lines as events
    recording  the events of a run, in their order
    attach     the ears at a simulation: its observers, disks, network and clients
    weave      events to lanes, arrows and spans: views, lives, calls, cut links
    page       all of that in one HTML file that needs nothing else

Nothing here changes a run: recording draws nothing, waits for nothing and doesn't advance the clock.
"""
