"""What a statement's text says by itself: its tokens, its first keyword, transaction control, where scripts part.

Tokens are SQLite's: `--` and `/* */` comments, text in '', names in "", ``, and [], variables, a byte order mark as
white space. A comment or a quote that doesn't end reaches to the end of the text. Nothing here decides whether a
statement is allowed, or right: SQLite's own parser does (`verdict`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

_WORD = r"[A-Za-z_\x80-\ufefe\uff00-\U0010ffff][A-Za-z0-9_$\x80-\ufefe\uff00-\U0010ffff]*"

_TOKEN = re.compile(
    rf"""
      (?P<space> [ \t\n\f\r\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<word> {_WORD} )
    | (?P<text> '(?:[^']|'')*(?:'|\Z) )
    | (?P<quoted> "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z) )
    | (?P<number> \.?[0-9][0-9A-Za-z_.]* )
    | (?P<variable> \?[0-9]* | [:@\#$](?:[A-Za-z0-9_$\x80-\U0010ffff]|::)+ )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)


@frozen
class Token:
    """A token that isn't white space. `kind`: word, text, quoted, number, variable or sign."""

    kind: str
    text: str
    end: int
    """Where in the text it ends."""

    @property
    def upper(self) -> str:
        """A word in capitals, as keywords are compared; empty for anything else: a quoted keyword is a name."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """What the token names: words as they stand, quotes removed."""
        if self.kind not in ("text", "quoted"):
            return self.text
        mark = self.text[0]
        closing = "]" if mark == "[" else mark
        inner = self.text[1:].removesuffix(closing)
        return inner if mark == "[" else inner.replace(mark * 2, mark)


def tokens(sql: str) -> Iterator[Token]:
    """Every token but white space and comments."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup
        if kind != "space":
            assert kind is not None
            yield Token(kind, match.group(), match.end())


def leading_words(sql: str, count: int) -> tuple[str, ...]:
    """The first keywords, at most `count`, in capitals; past comments, parentheses and empty statements.

    Ends before the first token that isn't a word. Empty for a text that holds nothing.
    """
    found: list[str] = []
    for token in tokens(sql):
        if token.kind == "word":
            found.append(token.upper)
        elif found or token.text not in (";", "("):
            break
        if len(found) == count:
            break
    return tuple(found)


def first_keyword(sql: str) -> str:
    """The first keyword in capitals; empty where there is none."""
    return (*leading_words(sql, 1), "")[0]


def is_empty(sql: str) -> bool:
    """Whether there is nothing but comments, white space and semicolons."""
    return all(token.text == ";" for token in tokens(sql))


def statement_verb(sql: str) -> str:
    """The first keyword; of a statement that begins WITH, the verb behind its common tables."""
    depth = 0
    first = first_keyword(sql)
    if first != "WITH":
        return first
    for token in tokens(sql):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.upper in ("SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"):
            return token.upper
    return first


def has_returning(sql: str) -> bool:
    """Whether a statement that SQLite takes as INSERT, UPDATE or DELETE has a RETURNING clause.

    RETURNING is a reserved word: as a bare word outside of parentheses it is nothing else.
    """
    if "returning" not in sql.lower():
        return False
    depth = 0
    for token in tokens(sql):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.upper == "RETURNING":
            return True
    return False


@frozen(kw_only=True)
class TransactionStatement:
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE or ROLLBACK TO; END is COMMIT."""

    verb: str
    mode: str = ""
    """Of BEGIN: deferred, immediate or exclusive."""
    name: str = ""
    """Of a savepoint, as it is spelled; SQLite doesn't tell upper from lower case in it."""


def parse_transaction(sql: str) -> TransactionStatement | None:
    """What a statement does to the transaction; None if it isn't one of these, or SQLite would refuse it."""
    words = list(tokens(sql))
    while words and words[0].text == ";":
        words.pop(0)
    while words and words[-1].text == ";":
        words.pop()
    if not words:
        return None
    rest = words[1:]
    match words[0].upper:
        case "BEGIN":
            mode = "deferred"
            if rest and rest[0].upper in ("DEFERRED", "IMMEDIATE", "EXCLUSIVE"):
                mode = rest.pop(0).upper.lower()
            return None if _transaction_name(rest) else TransactionStatement(verb="BEGIN", mode=mode)
        case "COMMIT" | "END":
            return None if _transaction_name(rest) else TransactionStatement(verb="COMMIT")
        case "ROLLBACK":
            rest = _transaction_name(rest)
            if not rest:
                return TransactionStatement(verb="ROLLBACK")
            return _savepoint("ROLLBACK TO", rest[1:]) if rest[0].upper == "TO" else None
        case "SAVEPOINT":
            return _named("SAVEPOINT", rest)
        case "RELEASE":
            return _savepoint("RELEASE", rest)
        case _:
            return None


def _transaction_name(rest: list[Token]) -> list[Token]:
    """What is left behind `TRANSACTION name`."""
    if rest and rest[0].upper == "TRANSACTION":
        rest = rest[1:]
        if rest and rest[0].upper != "TO":
            rest = rest[1:]
    return rest


def _savepoint(verb: str, rest: list[Token]) -> TransactionStatement | None:
    if len(rest) > 1 and rest[0].upper == "SAVEPOINT":
        rest = rest[1:]
    return _named(verb, rest)


def _named(verb: str, rest: list[Token]) -> TransactionStatement | None:
    if len(rest) != 1 or rest[0].kind not in ("word", "quoted", "text"):
        return None
    return TransactionStatement(verb=verb, name=rest[0].name)


# sqlite3_complete's machine. A semicolon ends a statement, but within CREATE TRIGGER only the one behind `; END`.
_INVALID, _START, _NORMAL, _EXPLAIN, _CREATE, _TRIGGER, _SEMI, _END = range(8)
_KINDS = {"EXPLAIN": 2, "CREATE": 3, "TEMP": 4, "TEMPORARY": 4, "TRIGGER": 5, "END": 6}
_OTHER = 1
#                ;       other     EXPLAIN   CREATE    TEMP      TRIGGER   END
_NEXT = {
    _INVALID: (_START, _NORMAL, _EXPLAIN, _CREATE, _NORMAL, _NORMAL, _NORMAL),
    _START: (_START, _NORMAL, _EXPLAIN, _CREATE, _NORMAL, _NORMAL, _NORMAL),
    _NORMAL: (_START, _NORMAL, _NORMAL, _NORMAL, _NORMAL, _NORMAL, _NORMAL),
    _EXPLAIN: (_START, _EXPLAIN, _NORMAL, _CREATE, _NORMAL, _NORMAL, _NORMAL),
    _CREATE: (_START, _NORMAL, _NORMAL, _NORMAL, _CREATE, _TRIGGER, _NORMAL),
    _TRIGGER: (_SEMI, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER),
    _SEMI: (_SEMI, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _END),
    _END: (_START, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER, _TRIGGER),
}


def split_script(sql: str) -> list[str]:
    """The statements of a script, each with its semicolon and the comments before it; the last may lack its own.

    By the rules of `sqlite3_complete`: triggers stay whole. What holds no statement is left out. The texts are those
    of the script, without white space around them.
    """
    found: list[str] = []
    state, start, filled = _START, 0, False
    for token in tokens(sql):
        if token.text == ";":
            state = _NEXT[state][0]
            if state == _START:
                if filled:
                    found.append(sql[start : token.end].strip())
                start, filled = token.end, False
            continue
        filled = True
        state = _NEXT[state][_KINDS.get(token.upper, _OTHER)]
    if filled:
        found.append(sql[start:].strip())
    return found


def is_complete(sql: str) -> bool:
    """Whether the text ends with a whole statement, as `sqlite3_complete` sees it: what a prompt waits for."""
    state = _INVALID
    last = ""
    for match in _TOKEN.finditer(sql):
        last = match.group()
        if match.lastgroup != "space":
            kind = _KINDS.get(last.upper(), _OTHER) if match.lastgroup == "word" else _OTHER
            state = _NEXT[state][0 if last == ";" else kind]
    in_comment = last.startswith("/*") and (len(last) < len("/**/") or not last.endswith("*/"))
    return state == _START and not in_comment
