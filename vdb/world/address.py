"""Addresses of the Network port: `host:port`, `[v6]:port`."""

from __future__ import annotations

from ipaddress import ip_address

from vdb.errors import ConfigError

PORT_MAX = 65_535


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of `host:port`; brackets around an IPv6 host are taken off. ConfigError for anything else."""
    host, separator, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not (separator and host and port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise ConfigError(f"an address reads HOST:PORT, such as 127.0.0.1:7140; found {address!r}")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The text form, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def not_loopback_message(address: str) -> str:
    """What NotLoopback says."""
    return (
        f"{address} can be reached from other machines, and no TLS is configured: "
        "set tls.cert, tls.key and tls.ca, or listen on 127.0.0.1"
    )


def address_in_use_message(address: str) -> str:
    """What AddressInUse says."""
    return f"{address} is in use: another program listens there; stop it, or choose another with --address"
