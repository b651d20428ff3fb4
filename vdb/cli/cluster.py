"""`vdb cluster init|prepare|add|promote|remove|recover`."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import anyio
from attrs import evolve
from cyclopts import App, Parameter

from vdb.cli.cluster_files import ClusterFiles, Place
from vdb.cli.config_file import ConfigFile, read_config_file
from vdb.cli.options import NODE, Json, NodeOptions
from vdb.cli.output import print_json, print_note, print_text
from vdb.client.admin import ClusterAdmin
from vdb.errors import ConfigError, InvalidArgument, LearnerBehind, Timeout, Unreachable
from vdb.limits import NODE_NUMBER_MAX, REPLICAS_MAX
from vdb.status import NodeStatus
from vdb.types import GLOBAL_GROUP, Region
from vdb.world.address import is_loopback, join_address, split_address

PORT = 7140
PEER_PORT = 7150
_LOOK_SECONDS = 0.5

app = App(name="cluster", help="Set up a cluster, and change its members.")


@app.command
async def init(
    *,
    directory: Annotated[Path, Parameter(name="--dir")],
    nodes: int = 3,
    region: str = "ap-southeast-2",
    regions: str = "",
    global_nodes: int | None = None,
    host: tuple[str, ...] = (),
    port: int = PORT,
    peer_port: int = PEER_PORT,
    tls: Annotated[bool, Parameter(negative="--no-tls")] = True,
    json: Json = False,
) -> None:
    """Write the files of a new cluster: a configuration for each node, certificates, and a root key.

    They are for development, or a beginning: the certificates last 825 days, and the root key should come from where
    you keep keys. Nothing is started, and no file is written over.

    Example: `vdb cluster init --dir cluster --nodes 3 --region ap-southeast-2`

    Example: `vdb cluster init --dir cluster --host 10.0.0.1 --host 10.0.0.2 --host 10.0.0.3`

    Example: `vdb cluster init --dir cluster --regions eu-central-1,us-east-1 --nodes 3`

    Parameters
    ----------
    directory
        Where to write; made if it is missing.
    nodes
        How many nodes, of each region: 1 to 6; 3 survive the loss of one, 5 of two.
    region
        The region of all nodes: PHI placed there is kept on them.
    regions
        Several regions instead, with commas between them: the PHI of each stays on its own nodes, under its own key.
    global_nodes
        How many nodes of each region hold the global group, too. Without it as many as may: it has six at most.
    host
        Where each node runs, one after the other, region by region. Without it all run on 127.0.0.1, at ports one after
        the other.
    port
        For clients.
    peer_port
        For the other nodes.
    tls
        Certificates for both; --no-tls is for nodes on 127.0.0.1 alone.
    json
        Print JSON.
    """
    names = [Region(name.strip()).name for name in regions.split(",")] if regions else [Region(region).name]
    if len(dict.fromkeys(names)) != len(names):
        raise ConfigError(f"--regions: each region once; found {regions}")
    if len(host) % len(names):
        raise ConfigError(f"--host: as many for each of {len(names)} regions; found {len(host)}")
    count = len(host) // len(names) or nodes
    if not 1 <= count <= REPLICAS_MAX:
        raise ConfigError(f"a cluster begins with 1 to {REPLICAS_MAX} nodes; found {count}")
    shared = min(count, REPLICAS_MAX // len(names)) if global_nodes is None else global_nodes
    if not 1 <= shared <= count or shared * len(names) > REPLICAS_MAX:
        raise ConfigError(
            f"the global group has 1 to {REPLICAS_MAX} nodes, as many of each region; found {shared} of {len(names)}"
        )
    if not tls and not all(is_loopback(one) for one in host):
        raise ConfigError("nodes on several machines need TLS: leave --no-tls away")
    files = ClusterFiles(directory=directory, cluster=secrets.token_bytes(16), region=names[0], tls=tls)
    places = [_place(number, host, port, peer_port) for number in range(count * len(names))]
    if len(names) > 1:
        places = [
            evolve(place, region=names[place.number // count], holds_global=place.number % count < shared)
            for place in places
        ]
    written = files.write_all(places)
    addresses = ",".join(place.address for place in places)
    if json:
        configs = [str(path) for path in written]
        print_json({"cluster": files.cluster.hex(), "configs": configs, "address": addresses, "tls": tls})
        return
    print_text(f"cluster {files.cluster.hex()}: {count} nodes of {', of '.join(names)} in {directory}")
    print_text()
    print_text("Start each node, on its machine, with its file and the files it names (not tls/ca.key):")
    for path in written:
        print_text(f"  vdb start --config {path}")
    print_text()
    print_text("Then, for clients and the command line:")
    print_text(f"  export VDB_ADDRESS={addresses}")
    if tls:
        for variable, file in (("CERT", "client.pem"), ("KEY", "client.key"), ("CA", "ca.pem")):
            print_text(f"  export VDB_TLS_{variable}={files.tls_file(file)}")
    print_text("  vdb status")


def _place(number: int, hosts: tuple[str, ...], port: int, peer_port: int) -> Place:
    if hosts:
        return Place(number=number, host=hosts[number], port=port, peer_port=peer_port)
    return Place(number=number, host="127.0.0.1", port=port + number, peer_port=peer_port + number)


@app.command
async def prepare(
    *,
    directory: Annotated[Path, Parameter(name="--dir")],
    node: int,
    host: str = "127.0.0.1",
    port: int | None = None,
    peer_port: int | None = None,
    region: str = "",
    global_group: Annotated[bool, Parameter(negative="--no-global-group")] = True,
    again: bool = False,
    options: NodeOptions = NODE,
) -> None:
    """Write the files of a node that shall join a cluster: beside those that `vdb cluster init` wrote.

    The cluster is asked for its present members, so that the new node finds them. With --again the file of a node is
    written anew, for one whose disk was lost after members had come and gone.

    Example: `vdb cluster prepare --dir cluster --node 3`

    Parameters
    ----------
    directory
        The directory that `vdb cluster init` wrote to.
    node
        The new node's number: one that no node of the cluster has, or had.
    host
        Where it runs.
    port
        For clients; without it, that of node 0, plus the number on the same host.
    peer_port
        For the other nodes; without it, that of node 0, plus the number on the same host.
    region
        Where it runs, in a cluster of several regions.
    global_group
        Whether it shall hold the global group as well, in a cluster of several regions.
    again
        The node is a member already: write its configuration anew, with the addresses at which the others know it.
    """
    if not 0 <= node <= NODE_NUMBER_MAX:
        raise ConfigError(f"a node's number lies between 0 and {NODE_NUMBER_MAX}; found {node}")
    known = read_config_file(directory / "n0.toml")
    cluster = known.node.cluster_id()
    if cluster is None or known.node.region is None:
        raise ConfigError(f"{directory / 'n0.toml'} isn't that of a cluster's node: expected cluster and region")
    place = Place(
        number=node,
        host=host,
        port=_port_beside([member.address for member in known.members], host, node, PORT) if port is None else port,
        peer_port=_port_beside([member.peer_address for member in known.members], host, node, PEER_PORT)
        if peer_port is None
        else peer_port,
        region=_checked_region(region, known),
        holds_global=global_group,
    )
    if not again and any(member.number == node for member in known.members):
        raise ConfigError(f"the cluster began with a node {node}: expected another number, or --again")
    members = await _present_members(options, cluster)
    if not members:
        members = [
            Place.at(
                member.number,
                member.address,
                member.peer_address,
                region=member.region or "",
                holds_global=member.global_group,
            )
            for member in known.members
        ]
        print_note("no node of the cluster answers: the file names those with which it began")
    held = next((member for member in members if member.number == node), None)
    if again != (held is not None):
        raise ConfigError(
            f"the cluster has no node {node}: leave --again away"
            if again
            else f"the cluster has a node {node}: expected another number, or --again"
        )
    place = held or place
    others = [member for member in members if member.number != node]
    files = ClusterFiles(directory=directory, cluster=cluster, region=known.node.region, tls=known.tls is not None)
    path = files.write_node(place, [*others, place], join=True, again=again)
    if options.json:
        print_json({"node": node, "config": str(path), "address": place.address})
        return
    print_text(f"wrote {path}. Start the node, then take it in:")
    print_text(f"  vdb start --config {path}")
    if again:
        print_text(f"  vdb cluster recover --node {node}")
        return
    print_text(f"  vdb cluster add --at {place.address}")
    print_text(f"  vdb cluster promote --node {node}")


def _checked_region(region: str, known: ConfigFile) -> str:
    """The region of a node that shall join; empty in a cluster of one."""
    regions = list(dict.fromkeys(member.region for member in known.members if member.region is not None))
    if not regions:
        if region and region != known.node.region:
            raise ConfigError(f"--region: the cluster has one region, {known.node.region}; found {region}")
        return ""
    if region not in regions:
        raise ConfigError(f"--region: expected one of {', '.join(regions)}; found {region or 'none'}")
    return region


def _port_beside(founders: Sequence[str], host: str, node: int, usual: int) -> int:
    """Where a node listens by the pattern of `vdb cluster init`; the addresses are those of the first nodes."""
    places = [split_address(address) for address in founders]
    first_host, first = places[0] if places else (host, usual)
    return first + node if first_host == host else first


async def _present_members(options: NodeOptions, cluster: bytes) -> list[Place]:
    """The members of all groups, by number; none if no node of this cluster answers."""
    found: dict[int, Place] = {}
    regions: dict[int, str] = {}
    shared: dict[int, None] = {}
    with suppress(Unreachable):
        async with options.client() as client:
            for report in await client.cluster.statuses():
                status = report.status
                for group in status.groups if status is not None and status.cluster == cluster else ():
                    for member in group.members:
                        if group.group == GLOBAL_GROUP:
                            shared[member.node] = None
                        else:
                            regions[member.node] = group.group
                        if member.address and member.peer_address:
                            found[member.node] = Place.at(member.node, member.address, member.peer_address)
    if len(dict.fromkeys(regions.values())) > 1:
        return [
            evolve(found[number], region=regions.get(number, ""), holds_global=number in shared)
            for number in sorted(found)
        ]
    return [found[number] for number in sorted(found)]


@app.command
async def add(*, at: str, peer_at: str | None = None, options: NodeOptions = NODE) -> None:
    """Take a node in, as a learner: it receives the log, and has no vote until it is promoted.

    The node must be running, with `join = true` in its configuration.

    Example: `vdb cluster add --at 10.0.0.4:7140`

    Parameters
    ----------
    at
        host:port at which clients, and this command, find the new node.
    peer_at
        host:port at which other nodes find it; without it, as the node itself says.
    """
    async with options.client() as client:
        admin = client.cluster
        new, known = await admin.status_of(at), await client.status()
        if new.cluster != known.cluster:
            raise InvalidArgument(
                f"the node at {at} belongs to cluster {new.cluster.hex()}: expected {known.cluster.hex()}"
            )
        voters = await _voters(admin)
        for group in new.groups:
            epoch = await admin.add(
                group.group,
                new.number,
                name=new.node,
                peer_address=peer_at or _peer_address(new, at),
                address=at,
                disk_id=new.disk_id,
                region=new.region,
            )
            votes = new.number in voters.get(group.group, ())
            _tell(options, group.group, new.number, "voter" if votes else "learner", epoch)


async def _voters(admin: ClusterAdmin) -> dict[str, list[int]]:
    """Who votes in which group, as the members say that serve it."""
    found: dict[str, list[int]] = {}
    for report in await admin.statuses():
        for group in report.status.groups if report.status is not None else ():
            if group.serving:
                found[group.group] = [member.node for member in group.members if not member.learner]
    return found


def _peer_address(status: NodeStatus, at: str) -> str:
    """Where others find a node: as it says; at the host of `at`, if it listens on all addresses of its machine."""
    said = next(
        (member.peer_address for group in status.groups for member in group.members if member.node == status.number), ""
    )
    if not said and any(group.status == "removed" for group in status.groups):
        raise InvalidArgument(
            f"node {status.number} was removed from its cluster: to take it back, start it on an empty data directory "
            "with --join"
        )
    if not said:
        raise InvalidArgument(f"the node at {at} has no address for other nodes: expected node.peer-address")
    host, port = split_address(said)
    try:
        unspecified = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        unspecified = False
    return join_address(split_address(at)[0], port) if unspecified else said


@app.command
async def promote(*, node: int, wait: float = 60.0, options: NodeOptions = NODE) -> None:
    """Give a learner a vote. Waits until it has caught up.

    Example: `vdb cluster promote --node 3`

    Parameters
    ----------
    node
        The learner's number.
    wait
        Seconds to wait for the learner.
    """
    async with options.client() as client:
        for group in await _groups_with(client.cluster, node):
            await _promote(client.cluster, group, node, wait, options)


async def _promote(admin: ClusterAdmin, group: str, node: int, wait: float, options: NodeOptions) -> None:
    deadline, told = anyio.current_time() + wait, ""
    while True:
        try:
            epoch = await admin.promote(group, node)
        except LearnerBehind as error:
            if anyio.current_time() > deadline:
                raise
            if str(error) != told and not options.json:
                told = str(error)
                print_note(told)
            await anyio.sleep(_LOOK_SECONDS)
        else:
            _tell(options, group, node, "voter", epoch)
            return


@app.command
async def remove(*, node: int, wait: float = 30.0, options: NodeOptions = NODE) -> None:
    """Let a node go. One that is primary hands over first. Stop it afterwards.

    Example: `vdb cluster remove --node 3`

    Parameters
    ----------
    node
        The number of the node that goes.
    wait
        Seconds to wait for another primary.
    """
    async with options.client() as client:
        for group in await _groups_with(client.cluster, node):
            await _step_aside(client.cluster, group, node, wait)
            epoch = await client.cluster.remove(group, node)
            _tell(options, group, node, "no member", epoch)


async def _step_aside(admin: ClusterAdmin, group: str, node: int, wait: float) -> None:
    """See to it that another node is the group's primary."""
    deadline, asked = anyio.current_time() + wait, False
    while True:
        leads = [
            found.primary
            for report in await admin.statuses()
            for found in (report.status.groups if report.status is not None else ())
            if found.group == group and found.serving
        ]
        if leads and node not in leads:
            return
        if leads and not asked:
            await admin.abdicate(group)
            asked = True
        if anyio.current_time() > deadline:
            raise Timeout(f"no node but {node} became primary of group {group} within {wait:g} s")
        await anyio.sleep(_LOOK_SECONDS)


@app.command
async def recover(*, node: int, at: str | None = None, wait: float = 600.0, options: NodeOptions = NODE) -> None:
    """Take a node back whose disk was lost: it learns everything anew, and gets its vote back.

    Start the node first, on an empty data directory, with `vdb start --config ... --join`.

    Example: `vdb cluster recover --node 2`

    Parameters
    ----------
    node
        The node's number.
    at
        host:port at which the node is found; without it, where it was.
    wait
        Seconds to wait until it has caught up.
    """
    async with options.client() as client:
        admin = client.cluster
        groups = await _groups_with(admin, node)
        found = await admin.status_of(at or await _address_of(admin, node))
        if found.number != node:
            raise InvalidArgument(f"node {found.number} answers there: expected node {node}")
        for group in groups:
            epoch = await admin.recover(group, node, found.disk_id)
            _tell(options, group, node, "learner", epoch)
        for group in groups:
            await _promote(admin, group, node, wait, options)


async def _groups_with(admin: ClusterAdmin, node: int) -> list[str]:
    """The groups that have this node. InvalidArgument if none has."""
    found: dict[str, int] = {}
    members: dict[int, None] = {}
    for report in await admin.statuses():
        if report.status is None or report.status.number == node:
            continue  # what a node that isn't a member says of its groups is a guess
        for group in report.status.groups:
            members.update({member.node: None for member in group.members})
            if any(member.node == node for member in group.members):
                found.setdefault(group.group, report.status.number)
    if not found:
        known = ", ".join(map(str, sorted(members)))
        raise InvalidArgument(f"node {node} isn't a member of the cluster: expected one of {known or 'none'}")
    return list(found)


async def _address_of(admin: ClusterAdmin, node: int) -> str:
    for report in await admin.statuses():
        for group in report.status.groups if report.status is not None else ():
            for member in group.members:
                if member.node == node and member.address:
                    return member.address
    raise InvalidArgument(f"nobody knows where node {node} is: expected --at HOST:PORT")


def _tell(options: NodeOptions, group: str, node: int, role: str, epoch: int) -> None:
    if options.json:
        print_json({"group": group, "node": node, "role": role, "epoch": epoch})
    else:
        print_text(f"node {node} is {_with_article(role)} of {group} (configuration {epoch})")


def _with_article(role: str) -> str:
    return role if role.startswith("no ") else f"a {role}"
