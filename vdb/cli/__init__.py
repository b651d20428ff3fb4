"""The `vdb` command: one module for each noun, `main` joins them, `output` and `options` hold what they share."""
