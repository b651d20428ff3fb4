"""What imports alone don't show: builtins, clock readings, file methods, and the order of sets.

import-linter (`.importlinter`) says which modules may be imported where; this file looks at what the code does with
what it may import. Each check has a bad sample that it must catch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

OUTSIDE = ("vdb/world/", "vdb/cli/", "vdb/embedded/", "vdb/verifier/")
"""Where the operating system is met: by the verifier on a machine without VerityDB. The command line alone prints."""

PURE = ("vdb/kernel/", "vdb/vsr/", "vdb/wire/", "vdb/storage/", "vdb/crypto/")
"""Where the order of things becomes bytes."""

BUILTINS = ("hash", "id", "open", "input", "print", "eval", "exec", "breakpoint", "__import__")

CALLS = (
    *(f"datetime.{name}" for name in ("now", "utcnow", "today")),
    "date.today",
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
    *(f"uuid.uuid{n}" for n in (1, 4, 6, 7)),
    *(f"uuid{n}" for n in (1, 4, 6, 7)),
    "os.urandom",
    *(f"trio.{name}" for name in ("Path", "open_file", "open_process", "open_tcp_stream", "open_unix_socket")),
    *(f"trio.{name}" for name in ("open_tcp_listeners", "open_ssl_over_tcp_stream", "run", "run_process", "serve_tcp")),
    "to_thread.run_sync",
    "from_thread.run",
    "from_thread.run_sync",
    "socket.socket",
)
"""A call is found by the end of its dotted name: `datetime.datetime.now` is `datetime.now`."""

FILE_METHODS = ("read_text", "read_bytes", "write_text", "write_bytes")

SAMPLE_PATH = "vdb/kernel/sample.py"
Check = Callable[[str, ast.Module], list[str]]


def found_at(path: str, node: ast.AST, message: str) -> str:
    return f"{path}:{getattr(node, 'lineno', 1)}: {message}"


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or of attributes; empty for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


# Builtins


def bound_names(scope: ast.AST) -> set[str]:
    """Names that a module or function binds itself, those of inner functions and classes apart."""
    names: set[str] = set()
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        names.update(node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg))
    todo = list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        todo.extend(ast.iter_child_nodes(node))
    return names


def used_names(node: ast.AST, known: frozenset[str]) -> Iterator[ast.Name]:
    """Names that are read and that no scope around them binds."""
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        known |= bound_names(node)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
        yield node
    for child in ast.iter_child_nodes(node):
        yield from used_names(child, known)


def check_builtins(path: str, tree: ast.Module) -> list[str]:
    allowed: tuple[str, ...] = ()
    if path.startswith("vdb/cli/"):
        allowed = ("print", "input", "open", "id", "hash")
    elif path.startswith(OUTSIDE):
        allowed = ("open", "id", "hash")
    return [
        found_at(path, name, f"the builtin {name.id}() isn't for this layer; what it gives comes through a port")
        for name in used_names(tree, frozenset())
        if name.id in BUILTINS and name.id not in allowed
    ]


# Clocks, chance, threads, files


def check_calls(path: str, tree: ast.Module) -> list[str]:
    if path.startswith(OUTSIDE):
        return []
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if any(name == call or name.endswith(f".{call}") for call in CALLS):
            found.append(found_at(path, node, f"{name}() goes around the ports"))
        elif isinstance(node.func, ast.Attribute) and node.func.attr in FILE_METHODS:
            found.append(found_at(path, node, f".{node.func.attr}() reads or writes a file: use the Disk port"))
    return found


# Sets


def is_set(node: ast.expr | None, names: set[str]) -> bool:
    """Whether an expression is a set as far as its text tells; `names` are variables that hold one."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return is_set(node.left, names) or is_set(node.right, names)
        case ast.Name() | ast.Attribute():
            return dotted(node) in names
    return False


def set_variables(tree: ast.Module) -> set[str]:
    """Dotted names that hold a set somewhere in the file: assigned one, or annotated as one."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_set(node.value, names):
            names.update(dotted(target) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            annotation = node.annotation
            outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
            if dotted(outer).rpartition(".")[2] in ("set", "frozenset", "Set", "AbstractSet", "MutableSet"):
                names.add(node.arg if isinstance(node, ast.arg) else dotted(node.target))
    return names - {""}


def check_sets(path: str, tree: ast.Module) -> list[str]:
    if not path.startswith(PURE):
        return []
    names = set_variables(tree)
    found = []
    for node in ast.walk(tree):
        iterated: list[ast.expr] = []
        match node:
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                iterated = [node.iter]
            case ast.Starred():
                iterated = [node.value]
            case ast.Call(func=ast.Name(id="list" | "tuple" | "iter" | "enumerate" | "zip" | "map" | "next" | "dict")):
                iterated = node.args
            case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys")):
                iterated = node.args
            case ast.Call(func=ast.Attribute(attr="pop"), args=[]):
                assert isinstance(node.func, ast.Attribute)
                iterated = [node.func.value]
        found += [
            found_at(path, each, "the order of a set differs from run to run: use a dict or a list, or sorted()")
            for each in iterated
            if is_set(each, names)
        ]
    return found


CHECKS: tuple[Check, ...] = (check_builtins, check_calls, check_sets)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_product_is_pure(check: Check, product_sources: dict[str, ast.Module]) -> None:
    found = [line for path, tree in product_sources.items() for line in check(path, tree)]
    assert not found, "\n" + "\n".join(found)


BAD: tuple[tuple[Check, str], ...] = (
    *((check_builtins, f"x = {name}('y')") for name in BUILTINS),
    (check_builtins, "rows.sort(key=id)"),
    (check_builtins, "class Row:\n    id: int\n    def f(self):\n        return id(self)"),
    (check_builtins, "def f(id): return id\ndef g(row): return id(row)"),
    (check_calls, "import datetime\nx = datetime.datetime.now()"),
    (check_calls, "x = datetime.utcnow()"),
    (check_calls, "x = date.today()"),
    (check_calls, "x = time.time()"),
    (check_calls, "x = uuid4()"),
    (check_calls, "x = uuid.uuid4()"),
    (check_calls, "await trio.to_thread.run_sync(work)"),
    (check_calls, "await trio.open_tcp_stream(host, port)"),
    (check_calls, "x = Path(name).read_bytes()"),
    (check_sets, "for x in {1, 2}: pass"),
    (check_sets, "for x in set(rows): pass"),
    (check_sets, "x = [y for y in frozenset(rows)]"),
    (check_sets, "x = {y: 1 for y in {z for z in rows}}"),
    (check_sets, "x = list({1, 2} | other)"),
    (check_sets, "x = (*{1, 2},)"),
    (check_sets, "x = ','.join({'a', 'b'})"),
    (check_sets, "seen = set()\nfor x in seen: pass"),
    (check_sets, "seen: set[int] = make()\nfor x in seen: pass"),
    (check_sets, "def f(seen: frozenset[int]):\n    return tuple(seen)"),
    (check_sets, "self.seen = {1}\nx = self.seen.pop()"),
)

GOOD: tuple[tuple[Check, str], ...] = (
    (check_builtins, "def f(id): return id"),
    (check_builtins, "def open(x): return x\ny = open(1)"),
    (check_builtins, "x = disk.open('y')"),
    (check_builtins, "from vdb.x import hash\ny = hash(1)"),
    (check_calls, "x = clock.time()\ny = datetime.fromtimestamp(z, UTC)"),
    (check_calls, "await trio.sleep(1)"),
    (check_sets, "seen = {1}\nx = 1 in seen\ny = sorted(seen)\nz = len(seen)"),
    (check_sets, "for x in {1: 2}: pass"),
    (check_sets, "rows = [1]\nx = rows.pop()"),
)


@pytest.mark.parametrize(("check", "source"), BAD)
def test_each_bad_sample_is_found(check: Check, source: str) -> None:
    found = check(SAMPLE_PATH, ast.parse(source))
    assert len(found) == 1
    assert found[0].startswith(f"{SAMPLE_PATH}:")


@pytest.mark.parametrize(("check", "source"), GOOD)
def test_what_is_fine_is_not_found(check: Check, source: str) -> None:
    assert check(SAMPLE_PATH, ast.parse(source)) == []


def test_the_line_is_named() -> None:
    found = check_calls(SAMPLE_PATH, ast.parse("\n\nx = time.time()"))
    assert found == ["vdb/kernel/sample.py:3: time.time() goes around the ports"]


def test_the_outside_may_meet_the_system_and_the_command_line_may_print() -> None:
    tree = ast.parse("x = open(name)\ny = time.time()")
    for path in ("vdb/world/disk.py", "vdb/cli/main.py", "vdb/embedded/thread.py"):
        assert [line for check in CHECKS for line in check(path, tree)] == []
    printing = ast.parse("print(1)")
    assert check_builtins("vdb/cli/main.py", printing) == []
    assert len(check_builtins("vdb/world/disk.py", printing)) == 1
