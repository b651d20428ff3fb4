"""What stands in an encrypted file of rows, page by page: free pages and older frames of the write-ahead file as well.

SQLCipher's format: pages of 4,096 bytes, of which the last 80 are the page's own IV and its tag; the first page begins
with 16 bytes of salt instead of SQLite's magic. A key is the cipher's, with nothing derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PAGE = 4096
_SALT, _IV, _TAG = 16, 16, 64
_WAL_HEADER, _FRAME_HEADER = 32, 24
_LIKE_SQLITE = (slice(5, 8), b"\x40\x20\x20")
"""Of a first page, behind its salt: fractions that SQLite always writes."""


def text_in(content: bytes, wal: bytes, keys: Sequence[bytes], texts: Sequence[bytes]) -> str:
    """The first of these texts that stands in a file or its write-ahead file, opened by any of the keys; else ''."""
    for key in _fitting(content, keys):
        for page in (*_pages(content, key), *_frames(wal, key)):
            for text in texts:
                if text in page:
                    return text.decode()
    return ""


def _fitting(content: bytes, keys: Sequence[bytes]) -> Sequence[bytes]:
    """The key that opens the first page, if one does; otherwise all: that page may be in the other file alone."""
    place, due = _LIKE_SQLITE
    fits = [key for key in keys if _open(content[:PAGE], key, first=True)[place] == due]
    return fits or keys


def _pages(content: bytes, key: bytes) -> Iterator[bytes]:
    for at in range(0, len(content) - PAGE + 1, PAGE):
        yield _open(content[at : at + PAGE], key, first=at == 0)


def _frames(wal: bytes, key: bytes) -> Iterator[bytes]:
    for at in range(_WAL_HEADER, len(wal) - _FRAME_HEADER - PAGE + 1, _FRAME_HEADER + PAGE):
        number = int.from_bytes(wal[at : at + 4], "big")
        begin = at + _FRAME_HEADER
        yield _open(wal[begin : begin + PAGE], key, first=number == 1)


def _open(page: bytes, key: bytes, *, first: bool) -> bytes:
    if len(page) < PAGE:
        return b""
    end = PAGE - _IV - _TAG
    decryptor = Cipher(algorithms.AES(key), modes.CBC(page[end : end + _IV])).decryptor()
    return decryptor.update(page[_SALT if first else 0 : end])
