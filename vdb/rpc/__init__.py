"""Cap'n Proto RPC, two parties, level 1, without Cap'n Proto's own event loop.

    framing (vdb.wire)      a byte stream to messages' segments
    layout, encode, decode  segments to `message` values and back; the hot path by hand, the rest by pycapnp
    questions, answers, exports
                            the tables of one side
    connection              the protocol: bytes in, events out; no IO
    server, client          thin drivers of it: trio; trio or asyncio
    faults                  errors of `vdb.errors` to exceptions on the wire and back

The public interface holds no capability but the bootstrap, so what is supported is: bootstrap, call, return, finish,
release, exceptions, cancellation, promise pipelining on any answer, capabilities in results; not capabilities in
parameters, nor anything of level 2 and above, which is answered with `unimplemented`.
"""
