"""Who may do what to which data for which purpose, and which rule says so. Pure.

- `words`   actions, purposes, masks: the vocabulary
- `model`   a policy as a value: roles, bindings, rules
- `decide`  a request and a policy to a decision that names rule and version; what no rule allows is denied
- `file`    policies as TOML, strict, with the cases that they must answer beside them
- `cases`   running those cases
- `held`    what a group holds of all this, as it is told
"""
