import pytest

from vdb.errors import RefusalCode
from vdb.kernel.apply import stored_reply
from vdb.kernel.command import ANY, INTERNAL, OpenSession, Origin
from vdb.kernel.effect import EvictSession
from vdb.kernel.reply import Appended, Refusal, SessionOpened
from vdb.kernel.sessions import owner_of
from vdb.kernel.streamid import first_session, group_tag
from vdb.kernel.tables import SESSION_OWNERS
from vdb.limits import SESSION_WINDOW

CLIENT = b"c" * 16


def client(number: int) -> bytes:
    return bytes((number,)) * 16


@pytest.fixture
def notes(primary):
    return primary.create(1, "notes")


def test_sessions_count_up_from_one_under_their_groups_tag(primary) -> None:
    first = first_session(primary.state.group)
    assert first >> 48 == group_tag(primary.state.group) != 0
    assert first & 0xFFFF_FFFF_FFFF == 1
    assert [primary.open(client(number)) for number in (1, 2, 3)] == [first, first + 1, first + 2]


def test_a_retry_gets_the_first_answer_and_changes_nothing(primary, notes) -> None:
    origin = Origin(CLIENT, primary.open(CLIENT), 1)
    first = primary.append(1, (notes, ANY, [2]), origin=origin)
    assert isinstance(first, Appended)
    assert stored_reply(primary.state, origin) == first
    rows = primary.rows()
    effects, again = primary.apply(primary.append_command(1, [(notes, ANY, [2])]), origin)
    assert (effects, again) == ((), first)
    changed = [key for key, value in primary.rows().items() if rows.get(key) != value]
    assert changed == [(0, b"last_timestamp")]


def test_a_refusal_is_remembered_too(primary, notes) -> None:
    origin = Origin(CLIENT, primary.open(CLIENT), 1)
    refused = primary.append(2, (notes, ANY, [1]), origin=origin)
    primary.create(2, "now there")
    assert primary.append(2, (notes, ANY, [1]), origin=origin) == refused


def test_requests_run_in_order(primary, notes) -> None:
    session = primary.open(CLIENT)
    gap = primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, 2))
    assert gap == Refusal(RefusalCode.SESSION_GAP, f"expected request 1 of session {session}, found 2")
    assert isinstance(primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, 1)), Appended)
    assert isinstance(primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, 2)), Appended)


def test_number_zero_is_no_request(primary, notes) -> None:
    session = primary.open(CLIENT)
    refusal = Refusal(RefusalCode.INVALID_ARGUMENT, "the requests of a session are numbered from 1; found 0")
    assert stored_reply(primary.state, Origin(CLIENT, session, 0)) == refusal
    primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, 1))
    assert stored_reply(primary.state, Origin(CLIENT, session, 0)) == refusal


def test_the_window_slides(primary, notes) -> None:
    session = primary.open(CLIENT)
    last = SESSION_WINDOW + 3
    replies = {
        number: primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, number))
        for number in range(1, last + 1)
    }
    for number in range(4, last + 1):
        assert stored_reply(primary.state, Origin(CLIENT, session, number)) == replies[number]
    assert stored_reply(primary.state, Origin(CLIENT, session, 3)) == Refusal(
        RefusalCode.REQUEST_TOO_OLD, f"expected request 4 to 68 of session {session}, found 3"
    )
    assert len(primary.state.tables()[6]) == SESSION_WINDOW


@pytest.mark.parametrize(("name", "later"), [(CLIENT, 1), (b"d" * 16, 0), (b"c", 0)])
def test_a_session_is_its_clients_alone(primary, name, later) -> None:
    origin = Origin(name, primary.open(CLIENT) + later, 1)
    assert stored_reply(primary.state, origin) == Refusal(
        RefusalCode.SESSION_EXPIRED,
        f"session {origin.session} isn't open for this client: it expired or never was",
    )


def test_without_a_session_each_request_runs(primary, notes) -> None:
    assert stored_reply(primary.state, INTERNAL) is None
    first = primary.append(1, (notes, ANY, [1]))
    assert primary.append(1, (notes, ANY, [1])) != first


def test_opening_again_ends_the_clients_old_session(primary, notes) -> None:
    old = primary.open(CLIENT)
    primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, old, 1))
    effects, reply = primary.apply(OpenSession(), Origin(CLIENT))
    assert effects == (EvictSession(old),)
    assert reply == SessionOpened(old + 1)
    assert primary.state.session_count == 1
    assert len(primary.state.tables()[6]) == 0, "the replies of an ended session are gone"
    assert stored_reply(primary.state, Origin(CLIENT, old, 1)).code is RefusalCode.SESSION_EXPIRED


def test_the_session_used_longest_ago_makes_room(primary, notes) -> None:
    sessions = [primary.open(client(number)) for number in (1, 2, 3, 4)]
    for number in range(1, SESSION_WINDOW + 10):
        primary.append(1, (notes, ANY, [1]), origin=Origin(client(1), sessions[0], number))
    effects, reply = primary.apply(OpenSession(), Origin(client(5)))
    assert effects == (EvictSession(sessions[1]),)
    assert reply == SessionOpened(sessions[0] + 4)
    primary.append(1, (notes, ANY, [1]), origin=Origin(client(3), sessions[2], 1))
    primary.append(1, (notes, ANY, [1]), origin=Origin(client(4), sessions[3], 1))
    effects, _ = primary.apply(OpenSession(), Origin(client(6)))
    assert effects == (EvictSession(sessions[0]),)
    assert len(primary.state.tables()[6]) == 2


def test_a_retry_is_no_use(primary, notes) -> None:
    sessions = [primary.open(client(number)) for number in (1, 2, 3, 4)]
    origins = [Origin(client(number), session, 1) for number, session in zip((1, 2, 3, 4), sessions, strict=True)]
    for origin in (*origins, origins[0]):
        primary.apply(primary.append_command(2, [(notes, ANY, [1])]), origin)
    effects, _ = primary.apply(OpenSession(), Origin(client(5)))
    assert effects == (EvictSession(sessions[0]),)


@pytest.mark.parametrize("name", [b"", bytes(16), b"c" * 17])
def test_a_client_has_a_name(primary, name) -> None:
    effects, reply = primary.apply(OpenSession(), Origin(name))
    assert effects == ()
    assert reply == Refusal(
        RefusalCode.INVALID_ARGUMENT, f"a client id has 16 bytes, not all zero; found {len(name)} bytes"
    )


OWNER, OTHER = b"o" * 32, b"p" * 32


def test_a_session_says_whose_it_is_while_it_is_open(primary) -> None:
    assert owner_of(primary.state, first_session(primary.state.group)) is None
    session = primary.apply(OpenSession(owner=OWNER), Origin(CLIENT))[1].session
    assert owner_of(primary.state, session) == OWNER
    unsaid = primary.open(client(1))
    assert owner_of(primary.state, unsaid) == b"", "opened when that wasn't said"
    assert primary.apply(OpenSession(owner=OWNER), Origin(CLIENT))[1] == SessionOpened(session + 2)
    assert owner_of(primary.state, session) is None
    assert len(primary.state.rows[SESSION_OWNERS]) == 1, "the owner of an ended session is forgotten"


def test_a_session_that_makes_room_leaves_no_owner(primary) -> None:
    for number in range(1, primary.state.sessions_max + 3):
        primary.apply(OpenSession(owner=OWNER), Origin(client(number)))
    assert len(primary.state.rows[SESSION_OWNERS]) == primary.state.session_count == primary.state.sessions_max


@pytest.mark.parametrize("other", [OTHER, b""])
def test_nobody_else_ends_a_session_by_opening_another(primary, notes, other) -> None:
    session = primary.apply(OpenSession(owner=OWNER), Origin(CLIENT))[1].session
    effects, reply = primary.apply(OpenSession(owner=other), Origin(CLIENT))
    assert effects == ()
    assert reply == Refusal(
        RefusalCode.ACCESS_DENIED, "another principal has a session for this client: expected a client id of one's own"
    )
    assert isinstance(primary.append(1, (notes, ANY, [1]), origin=Origin(CLIENT, session, 1)), Appended)


def test_a_session_of_nobodys_is_followed_by_one_of_somebodys(primary) -> None:
    old = primary.open(CLIENT)
    effects, reply = primary.apply(OpenSession(owner=OWNER), Origin(CLIENT))
    assert (effects, reply) == ((EvictSession(old),), SessionOpened(old + 1))
    assert owner_of(primary.state, old + 1) == OWNER
