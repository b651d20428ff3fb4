"""The public keys of an identity provider, fetched from it.

Rules
- Over https, or plainly on loopback. Where no URL of the keys is set, the issuer's own description names it
  (`/.well-known/openid-configuration`), and has to be of that issuer.
- The last good keys hold until there are others: a provider that can't be reached lets nobody else in, and nobody out.
- They are fetched when the node starts, then every hour, and for a token under a key that isn't among them: for those
  at most every half minute, since anybody may send one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import trio
from attrs import field, frozen

from vdb.errors import ConfigError, ConnectionLost
from vdb.marks import mark
from vdb.node import log
from vdb.ports import Network
from vdb.web.exchange import WebPlace, ask

DISCOVERY = "/.well-known/openid-configuration"
REFRESH_SECONDS = 3600.0
UNKNOWN_KEY_SECONDS = 30.0
"""At most so often are keys fetched for a token under an unknown one."""
RETRY_SECONDS = 10.0
"""After a failure, while there are none yet."""
ANSWER_BYTES_MAX = 256 * 1024
TOKEN_SIZE_MAX = 16 * 1024
"""Nothing in a token above it is read."""
_OK = 200


@frozen(kw_only=True)
class KeysPlace:
    """Where an issuer's keys are fetched."""

    issuer: str
    url: str = ""
    """Of the keys; empty: what the issuer's description says."""
    web: Mapping[str, Network] = field(repr=False)
    """How places are reached, by the scheme of their URLs."""


class IssuerKeys:
    """Implements the Source port: what was fetched last. `run` it as long as the node serves."""

    def __init__(self, place: KeysPlace, check: Callable[[bytes], list[str]]) -> None:
        """`check`: the ids of the keys in a content; ConfigError for one that isn't any.

        ConfigError for a URL that isn't https, or on loopback.
        """
        self._place = place
        self._check = check
        self._content: bytes | None = None
        self._ids: list[str] = []
        self._why = "they weren't asked for yet"
        self._tried_at = float("-inf")
        self._fetching = trio.Lock()
        self._where(place.url or place.issuer, "jwks-url" if place.url else "the issuer's address")

    def read(self) -> bytes:
        """ConfigError while there are none."""
        if self._content is None:
            raise ConfigError(f"the keys of {self._place.issuer} couldn't be fetched: {self._why}")
        return self._content

    async def run(self) -> None:
        """Fetch them again and again, until cancelled."""
        while True:
            await self._fetch(0.0)
            await trio.sleep(RETRY_SECONDS if self._content is None else REFRESH_SECONDS)

    async def refresh_for(self, token: str) -> None:
        """Fetch the keys if this token's isn't among them, unless they were just fetched."""
        if self._content is not None and _key_of(token) in ("", *self._ids):
            return
        mark("identity.unknown_key")
        await self._fetch(UNKNOWN_KEY_SECONDS if self._content is not None else RETRY_SECONDS)

    async def _fetch(self, after_seconds: float) -> None:
        """Nothing if it was tried within so many seconds; who comes meanwhile waits for the one who is at it."""
        async with self._fetching:
            if trio.current_time() - self._tried_at < after_seconds:
                return
            self._tried_at = trio.current_time()
            try:
                content = await self._ask(await self._url(), "the address of its keys")
                self._ids = self._check(content)
            except (ConfigError, ConnectionLost) as error:
                mark("identity.keys_not_fetched")
                self._why = str(error)
                log.warning("identity.keys_not_fetched", issuer=self._place.issuer, reason=self._why)
                return
            if content != self._content:
                log.info("identity.keys_fetched", issuer=self._place.issuer, keys=len(self._ids))
            self._content = content

    async def _url(self) -> str:
        issuer = self._place.issuer
        if self._place.url:
            return self._place.url
        found = await self._ask(issuer.rstrip("/") + DISCOVERY, "the address of its description")
        try:
            said: Any = json.loads(found)
        except (ValueError, RecursionError):
            raise ConfigError("the issuer's description isn't JSON that can be read") from None
        if not isinstance(said, dict) or said.get("issuer") != issuer:
            raise ConfigError(f"the description found there isn't of {issuer}")
        url = said.get("jwks_uri")
        if not isinstance(url, str):
            raise ConfigError("the issuer's description names no jwks_uri")
        return url

    async def _ask(self, url: str, what: str) -> bytes:
        place = self._where(url, what)
        answer = await ask(self._place.web[place.scheme], place, who="the issuer", bytes_max=ANSWER_BYTES_MAX)
        if answer.status != _OK:
            raise ConnectionLost(f"{what} at {url}: expected status {_OK}, found {answer.status}")
        return answer.body

    def _where(self, url: str, what: str) -> WebPlace:
        place = WebPlace.parse(url, what)
        if place.scheme not in self._place.web or (place.scheme == "http" and not _is_loopback(place)):
            raise ConfigError(f"{what} is fetched over https, or on loopback; found {url!r}")
        return place


def _is_loopback(place: WebPlace) -> bool:
    host = place.address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _key_of(token: str) -> str:
    """The id of the key that a token says it was signed with; empty where it doesn't. Anybody may have sent it."""
    if len(token) > TOKEN_SIZE_MAX:
        return ""
    header = token.partition(".")[0]
    try:
        found = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    kid = found.get("kid") if isinstance(found, dict) else ""
    return kid if isinstance(kid, str) else ""
