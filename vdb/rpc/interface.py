"""What can be called: the methods of an interface, and capabilities that implement one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from vdb.wire.schema import struct_module

if TYPE_CHECKING:
    from vdb.rpc.server import IncomingCall


@frozen(kw_only=True, eq=False)
class Method:
    """One method; `params` and `results` are struct modules (`from_segments`, `new_message`)."""

    name: str
    interface_id: int
    method_id: int
    params: Any
    results: Any


@frozen(eq=False)
class Interface:
    """The methods of an interface and of those it extends, by wire ids and by name."""

    interface_ids: tuple[int, ...]
    by_id: dict[tuple[int, int], Method]
    by_name: dict[str, Method]

    @classmethod
    def of(cls, module: Any) -> Interface:
        """From a loaded schema's interface, such as `vdb.wire.schema.verity.VerityDb`."""
        ids: list[int] = []
        by_id: dict[tuple[int, int], Method] = {}
        todo = [module.schema]
        while todo:
            schema = todo.pop()
            node = schema.node
            if node.id in ids:
                continue
            ids.append(node.id)
            todo.extend(schema.superclasses)
            for method_id, raw in enumerate(node.interface.methods):
                found = schema.methods[raw.name]
                by_id[node.id, method_id] = Method(
                    name=raw.name,
                    interface_id=node.id,
                    method_id=method_id,
                    params=struct_module(found.param_type, f"{raw.name}Params"),
                    results=struct_module(found.result_type, f"{raw.name}Results"),
                )
        by_name: dict[str, Method] = {}
        for method in by_id.values():
            by_name.setdefault(method.name, method)
        return cls(tuple(ids), by_id, by_name)


@define(eq=False)
class Capability:
    """An object that this side exports. Its identity is what counts: two exports of it share an id on the wire."""

    interface: Interface
    dispatch: Callable[[IncomingCall], None] = field(repr=False)
    """Called for each call, in the order of their arrival; must not block."""
