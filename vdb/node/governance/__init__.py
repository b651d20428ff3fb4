"""Who may do what: the policy that each group holds, broken glasses, consents, attestations."""
