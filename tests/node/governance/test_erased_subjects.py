"""What becomes of grants and consents of a subject that is erased."""

from __future__ import annotations

import pytest

from vdb.errors import SubjectErased
from vdb.kernel.command import INTERNAL
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.held import ERASED
from vdb.types import DataClass
from vdb.wire.event import encode_batch

REGION = "ap-southeast-2"


async def test_they_say_no_more_whose_they_were_and_there_are_no_new_ones(start, as_, clinic) -> None:
    async with start() as node:
        await node.service.create_stream(INTERNAL, 1, "notes", DataClass.PHI, REGION)
        run = PlainRun(subject="p-1", count=1, batch=encode_batch([b"a note"]))
        await node.service.append(INTERNAL, 1, [PlainAppend(stream="notes", runs=(run,))])
        await as_(node, "kim").apply_policy(clinic.replace('"policy", "audit"', '"policy", "audit", "erase"'), 0)
        kim, lee = as_(node, "kim"), as_(node, "lee")
        opened = await lee.break_glass(1, "", "p-1", "unconscious", 0)
        await kim.review_grant(1, "", opened.grant, "justified", "")
        again = await lee.break_glass(1, "", "p-1", "once more", 0)
        await kim.put_consent(1, "", "p-1", ("HRESCH",), 0, withdraw=False)
        await kim.erase_subject(1, "", "p-1", "GDPR 17(1)(a)", dry_run=False)
        grants = await kim.list_grants(1, "", unreviewed=False)
        assert [(one.subject, one.reason, one.verdict) for one in grants] == [
            (ERASED, ERASED, ERASED),
            (ERASED, ERASED, ""),
        ]
        assert [one.subject for one in await kim.list_consents(1, "", "")] == [ERASED]
        book = node.service.governance.book
        assert book.grants(REGION, 1, "lee") == ()
        with pytest.raises(SubjectErased):
            await lee.break_glass(1, "", "p-1", "unconscious", 0)
        with pytest.raises(SubjectErased):
            await kim.put_consent(1, "", "p-1", ("TREAT",), 0, withdraw=False)
        await kim.review_grant(1, "", again.grant, "unjustified", "nobody knows any more for whom")
        last = (await kim.list_grants(1, "", unreviewed=False))[-1]
        assert (last.verdict, last.remark) == ("unjustified", "nobody knows any more for whom")
        await kim.put_consent(1, "", "p-1", (), 0, withdraw=True)
        assert await kim.list_consents(1, "", "") == []
