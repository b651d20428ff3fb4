"""`vdb attest`: an expert's determination that a stream is de-identified."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import print_json, print_text, visible
from vdb.errors import ConfigError


async def attest(
    *,
    stream: str,
    expert: str,
    statement: str,
    document: Path | None = None,
    options: TenantOptions = TENANT,
) -> None:
    """Record an expert's determination (45 CFR 164.514(b)(1)), by which a de-identified stream may hold free text.

    Example: `vdb attest --stream cohort --expert "Dr. A. Expert" --statement "very small risk" --document report.pdf`

    Parameters
    ----------
    stream
        The stream: of the class deidentified.
    expert
        Who has determined it.
    statement
        What was determined.
    document
        What the expert has signed. Its SHA-256 is recorded, not the document itself.
    """
    digest = b"" if document is None else _digest(document)
    async with options.tenant_client() as client:
        await client.attest(stream, expert=expert, statement=statement, document_digest=digest)
    if options.json:
        print_json({"stream": stream, "expert": expert, "document": digest.hex()})
    else:
        print_text(f"{visible(stream)}: attested by {visible(expert)}, it may hold free text now")


def _digest(document: Path) -> bytes:
    try:
        return sha256(document.read_bytes()).digest()
    except OSError as error:
        raise ConfigError(f"{document} can't be read: {error.strerror}") from None
