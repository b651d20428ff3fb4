"""What stands in an encrypted file is found on any page, and by its key alone."""

from __future__ import annotations

from pathlib import Path

from sim.checkers.file_pages import text_in
from vdb.projections.store import close_sqlcipher, open_sqlcipher

KEY, OTHER = bytes(range(32)), bytes(32)
TEXTS = [b"nobody", b"somebody"]
LEFT = [b"another one"]


def test_a_deleted_row_is_found_in_the_write_ahead_file_and_what_is_left_on_its_page(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    connection = open_sqlcipher(str(path), KEY)
    connection.execute("CREATE TABLE rows (text)")
    connection.execute("INSERT INTO rows VALUES ('about somebody')")
    connection.execute("INSERT INTO rows VALUES ('about another one')")
    connection.execute("DELETE FROM rows WHERE rowid = 1")
    wal = path.with_name("rows.db-wal").read_bytes()
    content = path.read_bytes()
    assert text_in(content, wal, [OTHER, KEY], TEXTS) == "somebody"
    assert not text_in(content, wal, [OTHER], TEXTS)
    close_sqlcipher(connection)
    content = path.read_bytes()
    assert not text_in(content, b"", [KEY], TEXTS), "SQLCipher overwrites what is deleted"
    assert text_in(content, b"", [KEY], LEFT) == "another one"
    assert not text_in(content, b"", [OTHER], LEFT)
