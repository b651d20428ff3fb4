"""The replicated state machine of a group: pure, deterministic and total.

A command and a state give a new state, effects and a reply (`apply`). A business refusal is a value in the reply, the
same on every replica; nothing here raises for one, reads a clock, or does IO.
"""
