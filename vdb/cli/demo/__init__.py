"""`vdb demo`: a clinic's day on a real node, with a kill -9 in the middle.

`day` makes the events and publishes them, `process` runs the node, `checks` tests what the node promises, `story`
tells it, `command` joins them.
"""
