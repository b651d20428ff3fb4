"""`vdb consent give|withdraw|list`: what subjects consent to."""

from __future__ import annotations

from datetime import datetime

from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_table, print_text, time_text

app = App(name="consent", help="Record consents, which rules of the policy may ask for, and list them.")


@app.command
async def give(
    *,
    subject: str,
    purpose: list[str],
    until: datetime | None = None,
    group: str = "",
    options: TenantOptions = TENANT,
) -> None:
    """Record that a subject consents to purposes.

    Example: `vdb consent give --subject p-1 --purpose HRESCH --until 2027-12-31T23:59:59Z`

    Parameters
    ----------
    subject
        Who consents.
    purpose
        To what: a code of HL7 v3-ActReason, such as HRESCH for research. May be given several times.
    until
        When it ends: a time with a zone. Without it, when it is withdrawn.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        await client.give_consent(subject, purpose, until=until, group=group)
    if options.json:
        print_json({"given": purpose})
    else:
        print_text(f"consents to {', '.join(purpose)}")


@app.command
async def withdraw(
    *, subject: str, purpose: list[str] | None = None, group: str = "", options: TenantOptions = TENANT
) -> None:
    """Record that a subject withdraws its consent.

    Example: `vdb consent withdraw --subject p-1 --purpose HRESCH`

    Parameters
    ----------
    subject
        Whose consent.
    purpose
        To what. May be given several times; without it, to everything.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        await client.withdraw_consent(subject, purpose or (), group=group)
    if options.json:
        print_json({"withdrawn": purpose or []})
    else:
        print_text(f"consents no more to {', '.join(purpose or ['anything'])}")


@app.command(name="list")
async def list_(*, subject: str = "", group: str = "", options: TenantOptions = TENANT) -> None:
    """List consents.

    Example: `vdb consent list --subject p-1`

    Parameters
    ----------
    subject
        Whose; without it, all of the tenant's.
    group
        The region where the data are; by default the node's.
    """
    async with options.tenant_client() as client:
        found = await client.consents(subject, group=group)
    if options.json:
        for one in found:
            print_json({"subject": one.subject, "purposes": list(one.purposes), "until": one.until, "given": one.given})
    else:
        print_table(
            ("subject", "purposes", "until", "given"),
            [
                (
                    one.subject,
                    ", ".join(one.purposes),
                    time_text(one.until) if one.until else "withdrawn",
                    time_text(one.given),
                )
                for one in found
            ],
        )
