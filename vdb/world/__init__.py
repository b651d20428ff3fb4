"""The real ports: network, disk, clock, entropy and keys. The only package that touches the operating system."""
