"""A node inside a program: `vdb.open`. The node's trio loop runs in a thread; calls hop to it and back.

`loop_thread` is the thread and the bridges from other threads and loops; `service_gateway` calls the node's gate;
`database` is the handle.
"""
