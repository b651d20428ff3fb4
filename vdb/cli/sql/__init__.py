"""`vdb sql`: `command` reads the arguments, `shell` talks, `dots` are its own commands, `printing` shows rows."""
