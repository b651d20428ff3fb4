"""Parts of a transaction, and who watches for what is in them."""

from __future__ import annotations

from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKeys
from vdb.kernel.command import ANY
from vdb.kernel.state import State
from vdb.node.preparing.preparer import Preparer
from vdb.node.preparing.request import (
    Pending,
    Piece,
    PlainCreate,
    PlainRun,
    PlainTarget,
    PlainTransaction,
    nobody,
)
from vdb.node.preparing.sending import add_part, begin
from vdb.node.replication.batch import Batch
from vdb.types import DataClass, TenantId
from vdb.wire.event import encode_batch
from vdb.world.entropy import RealEntropy

REGION = "ap-southeast-2"
T1 = TenantId(1)


def run(subject: str) -> PlainRun:
    return PlainRun(subject=subject, count=1, batch=encode_batch([b"x"]))


def test_who_begins_to_watch_in_the_midst_of_a_transaction_is_told_of_all_its_parts() -> None:
    keyring = Keyring(group=REGION, root=RootKeys(bytes(range(32))).for_group(REGION))
    preparer = Preparer(region=REGION, keyring=keyring, entropy=RealEntropy())
    first = Batch(timestamp=1_000, base=State.empty(REGION, 4))
    create = PlainCreate(tenant=T1, name="notes", data_class=DataClass.PHI, region=REGION)
    preparer.add(first, Pending(request=create, on_reply=nobody, on_lost=nobody, size=1))
    preparer.finish(first)
    request = PlainTransaction(
        tenant=T1,
        targets=(PlainTarget(stream="notes", expected=ANY, count=2),),
        parts=tuple((Piece(append=0, runs=(run(subject),)),) for subject in ("alice", "bob")),
        size=2000,
    )
    batch = Batch(timestamp=2_000, base=first.state)
    sending = begin(preparer, batch, Pending(request=request, on_reply=nobody, on_lost=nobody, size=1))
    assert sending is not None
    add_part(preparer, batch, sending)
    with preparer.watches.watching(T1, "alice") as watch, preparer.watches.watching(T1, "carol") as other:
        following = Batch(timestamp=3_000, base=batch.state)
        add_part(preparer, following, sending)
        assert sending.done
        assert watch.touched, "the log shows the first part with the last one"
        assert not other.touched
