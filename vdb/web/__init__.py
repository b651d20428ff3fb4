"""HTTP/1.1 as a client: witnesses, and the keys of identity providers. The one door to h11 for who asks."""
