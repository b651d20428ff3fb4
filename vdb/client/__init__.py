"""Clients of a node, for trio, asyncio and programs without a loop.

`session` keeps the books of request numbers (pure); `writer` drives a session, `connection` and `link` keep the RPC
connection; `rpc_gateway` joins them. `face` and `sync_face` are the public methods, over any `gateway`: the embedded
node has one of its own. `consumer`, `member` and `delivery` are consumer groups, over `member_line`. `admin` and
`sync_admin` look after a cluster. `connect` makes clients over sockets; `Client` takes any connector, the simulator's
as well.
"""
