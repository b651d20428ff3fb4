"""A running node: joins groups, storage, kernel, projections and RPC on the `World` that it is given."""
