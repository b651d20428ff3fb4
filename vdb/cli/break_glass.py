"""`vdb break-glass open|list|review`: exceptions in an emergency, and who looks at them afterwards."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_note, print_table, print_text, time_text
from vdb.policy.held import GrantInfo

app = App(name="break-glass", help="Open an exception in an emergency; list and review those that were opened.")


@app.command(name="open")
async def open_(
    *, reason: str, subject: str = "", minutes: int = 0, group: str = "", options: TenantOptions = TENANT
) -> None:
    """Open an exception for yourself, as the policy's `[break-glass]` allows. Others are told, and will review it.

    Example: `vdb break-glass open --subject p-1 --reason "unconscious in the emergency room"`

    Parameters
    ----------
    reason
        Why. It stands in the audit log, and is what reviewers judge by.
    subject
        Whose data. Without it, everybody's of the tenant.
    minutes
        For how long. Without it, as long as the policy allows.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        opened = await client.break_glass(reason, subject, seconds=minutes * 60, group=group)
    if options.json:
        print_json({"grant": opened.grant, "until": opened.until})
    else:
        print_text(f"grant {opened.grant}, until {time_text(opened.until)}")
        print_note("ask with --purpose BTG or ETREAT; what you do is written down and will be reviewed")


@app.command(name="list")
async def list_(*, unreviewed: bool = False, group: str = "", options: TenantOptions = TENANT) -> None:
    """List exceptions, oldest first. For reviewers of the policy, and for who may read the audit log.

    Example: `vdb break-glass list --unreviewed`

    Parameters
    ----------
    unreviewed
        Those alone that wait for a review.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        grants = await client.grants(unreviewed=unreviewed, group=group)
    if options.json:
        for grant in grants:
            print_json(as_json(grant))
    else:
        print_table(
            ("grant", "who", "whose data", "reason", "opened", "until", "review"),
            [
                (
                    one.grant,
                    one.principal,
                    one.subject or "everybody's",
                    one.reason,
                    time_text(one.opened),
                    time_text(one.until),
                    f"{one.verdict} by {one.reviewer}" if one.reviewer else "waits",
                )
                for one in grants
            ],
        )


@app.command
async def review(
    *,
    grant: int,
    verdict: Literal["justified", "unjustified"],
    remark: str = "",
    group: str = "",
    options: TenantOptions = TENANT,
) -> None:
    """Say what somebody else's exception was. It ends with that, if it hadn't.

    Example: `vdb break-glass review --grant 1795406633661295 --verdict justified`

    Parameters
    ----------
    grant
        Its number.
    verdict
        What you found.
    remark
        What there is to say about it.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        await client.review_grant(grant, verdict, remark, group=group)
    if options.json:
        print_json({"grant": grant, "verdict": verdict})
    else:
        print_text(f"grant {grant}: {verdict}")


def as_json(grant: GrantInfo) -> dict[str, object]:
    """A grant as the object that commands print."""
    return {
        "grant": grant.grant,
        "principal": grant.principal,
        "subject": grant.subject,
        "reason": grant.reason,
        "opened": grant.opened,
        "until": grant.until,
        "reviewer": grant.reviewer,
        "verdict": grant.verdict,
        "remark": grant.remark,
        "reviewed": grant.reviewed,
    }
