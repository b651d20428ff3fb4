"""The Safe Harbor check: whether data hold one of the eighteen identifiers of 45 CFR 164.514(b)(2), as far as a machine
can say. Pure.

Fields are judged by their names and by their values. What is structured is JSON: objects, lists, numbers, words.

Rules
- A text with a space in it is free text, and refused: no pattern finds every name. The `display` beside a `code`, and
  units, are short and are let pass. An expert's attestation (164.514(b)(1)) lets free text in; what can be recognised
  is refused all the same.
- Of a date the year alone may stay, and no year of birth of somebody above 89; of a ZIP code its first three digits,
  and 000 where few people live (`SPARSE_ZIP3`, by census).
- A code that stands for somebody and was drawn by chance (164.514(c)) is given as `pseudonym`.
- A finding names the field and the identifier, never the value. A field's name that isn't a word isn't repeated either.

What it can't know: that a word is a name, and what others could find out with what they have beside it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import frozen

from vdb.policy.safe_harbor_words import CONTAINERS, FIELDS, NAMES_OF_THINGS, SPARSE_ZIP3, TERMINOLOGIES, Identifier

DEPTH_MAX = 64
NAMES_REMEMBERED = 4096
"""Names of fields whose judgement is kept: events of a kind have the same."""
AGE_MAX = 89
PSEUDONYM = "pseudonym"
_PHRASE_MAX = max(map(len, FIELDS))
_SPARSE = frozenset(prefix for prefixes in SPARSE_ZIP3.values() for prefix in prefixes)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SAYABLE = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,39}")
_DISPLAY_WORDS_MAX = 12
_UNIT_WORDS_MAX = 3
_TOKEN_MAX = 200
"""Characters of a word; a longer one is an image or the like, encoded."""
_DIGITS_MIN = 9
"""Numbers of so many digits are somebody's, unless they are a code of a terminology."""
_NUMBER_MAX = 10 ** (_DIGITS_MIN - 1) - 1
_CODES = ("code", PSEUDONYM)
_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_YEAR = re.compile(r"(1[89]|20)\d\d")
_ZIP3 = re.compile(r"\d{3}")
_SUSPECT = re.compile(r"\d|@|//|www|data:|/\S")
"""What each of the patterns needs some of: most words have none."""
_NUMBER = re.compile(r"\d+")
_AGE_UNITS = {"months": 12, "weeks": 53, "days": 366, "hours": 366 * 24}

_PATTERNS: Sequence[tuple[Identifier, re.Pattern[str]]] = (
    (Identifier.EMAIL, re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")),
    (Identifier.URL, re.compile(r"(?i)\b(?:https?|ftp)://|\bwww\.|\bdata:[a-z]+/")),
    (Identifier.SSN, re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    (Identifier.DATE, re.compile(r"(?<!\d)(?:1[89]|20)\d\d-(?:0?[1-9]|1[0-2])(?:-\d{1,2})?(?![\d-])")),
    (Identifier.DATE, re.compile(r"(?<!\d)(?:1[89]|20)\d\d-\d\d-\d\dT")),
    (Identifier.DATE, re.compile(r"(?<![\d/.-])\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})(?![\d/.-])")),
    (Identifier.DATE, re.compile(rf"(?i)\b(?:{_MONTHS})\b\.? +\d{{1,2}}\b|\b\d{{1,2}}\.? +(?:{_MONTHS})\b")),
    (Identifier.PHONE, re.compile(r"(?<![\d.])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?!\d)")),
    (Identifier.PHONE, re.compile(r"\+\d{1,3}[ -]?\d[\d -]{6,}")),
    (Identifier.ADDRESS, re.compile(rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.])")),
    (Identifier.ADDRESS, re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}(?![\w:])")),
    (Identifier.VEHICLE, re.compile(r"(?<![A-Z0-9])(?=[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])[A-HJ-NPR-Z0-9]{17}(?![A-Z0-9])")),
    (Identifier.OTHER, re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])")),
    (Identifier.OTHER, re.compile(r"\b(?:Patient|Person|RelatedPerson)/\S")),
    (Identifier.RECORD, re.compile(r"(?i)\b(?:mrn|medical record|record (?:no|number))\b\W{0,5}\w*\d")),
    (Identifier.AGE, re.compile(r"(?i)(?<!\d)(?:9\d|1[0-2]\d)[ -]?(?:years?|yrs?|y\.?/?o\.?)\b")),
)  # fmt: skip


@frozen
class Finding:
    """What stands against it."""

    field: str
    """Its name, with those that it lies in; empty: the whole."""
    identifier: Identifier

    def __str__(self) -> str:
        where = f"field '{self.field}'" if self.field else "the payload"
        return f"{where} holds {self.identifier.words} (45 CFR 164.514(b)(2)(i)({self.identifier.letter}))"


@frozen(kw_only=True)
class Scope:
    """What the check goes by."""

    year: int
    """The present one."""
    attested: bool = False
    """An expert has determined that the risk is very small: free text is let in."""


@frozen
class Pairs:
    """An object of JSON with all its fields, those given twice among them: what is stored has both."""

    items: tuple[tuple[str, Any], ...]


def check_payload(payload: bytes, scope: Scope) -> Finding | None:
    """The first identifier in a payload: JSON, or with an expert's attestation any text. None: there is none."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return Finding("", Identifier.IMAGE)
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: Pairs(tuple(pairs)))
    except RecursionError:
        return Finding("", Identifier.TEXT)
    except ValueError:
        return _check_text("", text, scope)
    return check_value("", value, scope)


def check_fields(fields: Iterable[tuple[str, Any]], scope: Scope) -> Finding | None:
    """The same of a row: names of columns and their values."""
    return check_value("", Pairs(tuple(fields)), scope)


def check_value(path: str, value: Any, scope: Scope) -> Finding | None:
    """The first identifier in a value, which may have others in it; `path` is what it is called."""
    waiting: list[tuple[str, str, Any, Mapping[str, Any], int]] = [(path, "", value, {}, 0)]
    while waiting:
        where, key, found, beside, depth = waiting.pop()
        if depth > DEPTH_MAX:
            return Finding(where, Identifier.TEXT)
        if isinstance(found, Mapping):
            found = Pairs(tuple(found.items()))
        if isinstance(found, Pairs):
            fields = dict(found.items)
            for name, inner in reversed(found.items):
                inside = _inside(where, name)
                finding = _check_name(inside, name, inner, scope)
                if finding is not None:
                    return finding
                waiting.append((inside, name, inner, fields, depth + 1))
        elif isinstance(found, list | tuple):
            waiting += [(where, key, inner, beside, depth + 1) for inner in reversed(found)]
        else:
            finding = _check_leaf(where, key, found, beside, scope)
            if finding is not None:
                return finding
    return None


def _inside(where: str, name: str) -> str:
    said = _sayable(name)
    return f"{where}.{said}" if where else said


@lru_cache(maxsize=NAMES_REMEMBERED)
def _sayable(name: str) -> str:
    return name if _SAYABLE.fullmatch(name) and _matches(name) is None else "?"


# Names of fields -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=NAMES_REMEMBERED)
def _words_of(name: str) -> tuple[str, ...]:
    """`patientName`, `patient_name` and `PATIENT-NAME` alike."""
    return tuple(word.lower() for word in _WORDS.findall(unicodedata.normalize("NFKC", name)))


def _check_name(where: str, name: str, value: Any, scope: Scope) -> Finding | None:
    """Judge a field by its name. What is empty, true or false tells nothing of anybody."""
    if where.endswith("?"):
        return None if scope.attested and not _matches(name) else Finding(where, _matches(name) or Identifier.TEXT)
    words = _words_of(name)
    if value is None or isinstance(value, bool) or value in ("", Pairs(()), []) or words == (PSEUDONYM,):
        return None
    if isinstance(value, Pairs | Mapping | list) and words and words[-1] in CONTAINERS:
        return None
    if "age" in words:
        return _check_age(where, words, value)
    if any(word in ("zip", "zipcode", "postal", "postcode") for word in words):
        return None if _is_wide_area(value) else Finding(where, Identifier.PLACE)
    if words and words[-1] == "name":
        return Finding(where, Identifier.NAME) if len(words) < 2 or words[-2] not in NAMES_OF_THINGS else None
    found = _identifier_in(words)
    if found is Identifier.DATE or words in (("day",), ("month",)) or words[-2:] == ("birth", "year"):
        return _check_date(where, words, value, scope)
    return None if found is None else Finding(where, found)


@lru_cache(maxsize=NAMES_REMEMBERED)
def _identifier_in(words: tuple[str, ...]) -> Identifier | None:
    """Of the longest phrase that stands in the name."""
    for size in range(min(_PHRASE_MAX, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            found = FIELDS.get(words[start : start + size])
            if found is not None and not (found is Identifier.DATE and words[-1] == "weight"):
                return found
    return None


def _check_date(where: str, words: Sequence[str], value: Any, scope: Scope) -> Finding | None:
    """What has no number in it is no date."""
    text = str(value)
    if _NUMBER.search(text) is None:
        return None
    if not _YEAR.fullmatch(text):
        return Finding(where, Identifier.DATE)
    is_birth = any(word in ("birth", "dob", "birthday") for word in words)
    return Finding(where, Identifier.AGE) if is_birth and scope.year - int(text) > AGE_MAX else None


def _check_age(where: str, words: Sequence[str], value: Any) -> Finding | None:
    """90 and above is one category, written as a text: `90+`."""
    most = next((AGE_MAX * times + times - 1 for unit, times in _AGE_UNITS.items() if unit in words), AGE_MAX)
    if isinstance(value, int | float):
        return Finding(where, Identifier.AGE) if value > most else None
    if value in ("90+", ">89", ">=90"):
        return None
    numbers = [int(found) for found in _NUMBER.findall(value)] if isinstance(value, str) else []
    return Finding(where, Identifier.AGE) if any(number > most for number in numbers) else None


def _is_wide_area(value: Any) -> bool:
    text = f"{value:03d}" if isinstance(value, int) else str(value)
    return bool(_ZIP3.fullmatch(text)) and text not in _SPARSE


# Values --------------------------------------------------------------------------------------------------------


def _check_leaf(where: str, key: str, value: Any, beside: Mapping[str, Any], scope: Scope) -> Finding | None:
    if isinstance(value, str):
        return _check_string(where, key, value, beside, scope)
    if isinstance(value, bytes):
        return Finding(where, Identifier.IMAGE)
    if isinstance(value, int | float) and abs(value) > _NUMBER_MAX and value == value // 1 and key not in _CODES:
        return Finding(where, Identifier.OTHER)
    return None


def _check_string(where: str, key: str, value: str, beside: Mapping[str, Any], scope: Scope) -> Finding | None:
    text = value if value.isascii() else unicodedata.normalize("NFKC", value)
    words = text.split()
    if key == PSEUDONYM:
        return None if len(words) <= 1 and len(text) <= _TOKEN_MAX else Finding(where, Identifier.TEXT)
    if key == "system" and text.startswith(TERMINOLOGIES):
        return None
    found = _matches(text)
    if found is not None:
        return Finding(where, found)
    if len(words) <= 1:
        if len(text) > _TOKEN_MAX:
            return None if scope.attested else Finding(where, Identifier.IMAGE)
        is_number = text.isdigit() and len(text) >= _DIGITS_MIN and key not in _CODES
        return Finding(where, Identifier.OTHER) if is_number else None
    if key == "display" and "code" in beside and len(words) <= _DISPLAY_WORDS_MAX:
        return None
    if key in ("unit", "units") and len(words) <= _UNIT_WORDS_MAX:
        return None
    return None if scope.attested else Finding(where, Identifier.TEXT)


def _check_text(where: str, text: str, scope: Scope) -> Finding | None:
    found = _matches(unicodedata.normalize("NFKC", text))
    if found is not None:
        return Finding(where, found)
    return None if scope.attested else Finding(where, Identifier.TEXT)


def _matches(text: str) -> Identifier | None:
    if not _SUSPECT.search(text):
        return None
    return next((identifier for identifier, pattern in _PATTERNS if pattern.search(text)), None)
