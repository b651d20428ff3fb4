"""`Blob`: a value that is read piece by piece.

SQLite's own handles write past triggers, so what they wrote wouldn't be in the log. These read by SQL, and refuse to
write.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn

from vdb.dbapi.errors import OperationalError, ProgrammingError

_SET, _CURRENT, _END = 0, 1, 2
_INT_MAX = 2**31 - 1
_BYTE_VALUES = 256
_READ_ONLY = "blobs are readonly: what is written past SQL wouldn't be in the log; use UPDATE"


class Blob:
    """Made by `Connection.blobopen`."""

    _connection: Any
    _length: int
    _offset: int
    _sql: str
    _row: int
    _closed: bool

    def __new__(cls) -> Blob:
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances")

    @classmethod
    def _opened(cls, connection: Any, table: str, column: str, row: int, name: str) -> Blob:
        blob = object.__new__(cls)
        blob._connection = connection
        blob._closed = False
        blob._offset = 0
        blob._row = row
        schema, source, value = _quoted(name), _quoted(table), _quoted(column)
        # A column by its table's name: a name that isn't there would else be taken for text.
        blob._sql = (
            f"SELECT length(CAST({source}.{value} AS BLOB)), substr(CAST({source}.{value} AS BLOB), ?, ?), "
            f"typeof({source}.{value}) FROM {schema}.{source} WHERE {source}.rowid = ?"
        )
        found = blob._ask(0, 0)
        if found is None:
            raise OperationalError(f"no such rowid: {row}")
        if found[2] not in ("blob", "text"):
            raise OperationalError(f"cannot open value of type {found[2]}")
        blob._length = found[0]
        return blob

    def read(self, length: int = -1, /) -> bytes:
        """The next bytes, all that are left unless said otherwise."""
        self._check()
        left = self._length - self._offset
        count = left if length < 0 else min(length, left)
        data = self._get(self._offset, count)
        self._offset += count
        return data

    def write(self, data: Any, /) -> NoReturn:
        """Refused: use UPDATE."""
        self._check()
        if memoryview(data).nbytes > self._length - self._offset:
            raise ValueError("data longer than blob length")
        raise OperationalError(_READ_ONLY)

    def seek(self, offset: int, origin: int = _SET, /) -> None:
        """Go on reading elsewhere: from the start, from here (1), or from the end (2)."""
        self._check()
        if origin not in (_SET, _CURRENT, _END):
            raise ValueError("'origin' should be os.SEEK_SET, os.SEEK_CUR, or os.SEEK_END")
        base = (0, self._offset, self._length)[origin]
        if offset + base > _INT_MAX:
            raise OverflowError("seek offset results in overflow")
        if not 0 <= base + offset <= self._length:
            raise ValueError("offset out of blob range")
        self._offset = base + offset

    def tell(self) -> int:
        """Where the next byte is read."""
        self._check()
        return self._offset

    def close(self) -> None:
        """Let go of the value."""
        if self._connection.opened:
            self._connection.check_thread()
        self._closed = True

    def __len__(self) -> int:
        self._check()
        return self._length

    def __getitem__(self, key: Any, /) -> Any:
        self._check()
        if isinstance(key, slice):
            start, stop, step = _slice(key, self._length)
            whole = self._get(min(start, stop), max(0, stop - start)) if step > 0 else self._get(0, self._length)
            return whole[::step] if step > 0 else whole[start:stop:step]
        return self._get(_index(key, self._length), 1)[0]

    def __setitem__(self, key: Any, value: Any, /) -> None:
        """Refused, unless it changes nothing."""
        self._check()
        if isinstance(key, slice):
            count = len(range(*_slice(key, self._length)))
            if not memoryview(value).c_contiguous:
                raise BufferError("underlying buffer is not C-contiguous")
            if memoryview(value).nbytes != count:
                raise IndexError("Blob slice assignment is wrong size")
            if not count:
                return
        else:
            _index(key, self._length)
            if not hasattr(type(value), "__index__"):
                raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
            if not 0 <= type(value).__index__(value) < _BYTE_VALUES:
                raise ValueError("byte must be in range(0, 256)")
        raise OperationalError(_READ_ONLY)

    def __delitem__(self, key: Any, /) -> NoReturn:
        self._check()
        raise TypeError("Blob object doesn't support slice deletion or item deletion")

    __iter__ = None

    def __enter__(self) -> Blob:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._check()
        self.close()

    def _check(self) -> None:
        self._connection.ready()
        if self._closed:
            raise ProgrammingError("Cannot operate on a closed blob.")

    def _get(self, offset: int, count: int) -> bytes:
        found = self._ask(offset + 1, count)
        if found is None or found[0] != self._length:
            raise OperationalError("query aborted: the row was changed since the blob was opened")
        return bytes(found[1])

    def _ask(self, offset: int, count: int) -> tuple[Any, ...] | None:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        found: tuple[Any, ...] | None = cursor.execute(self._sql, (offset, count, self._row)).fetchone()
        return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _index(key: Any, length: int) -> int:
    if not hasattr(type(key), "__index__"):
        raise TypeError("Blob indices must be integers")
    index: int = type(key).__index__(key)
    if not -(2**63) <= index < 2**63:
        raise IndexError("cannot fit 'int' into an index-sized integer")
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise IndexError("Blob index out of range")
    return index


def _slice(key: slice, length: int) -> tuple[int, int, int]:
    try:
        return key.indices(length)
    except TypeError:
        raise TypeError("Blob indices must be integers") from None
