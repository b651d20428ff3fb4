"""The command line `vdb`, one file per noun. The only package that prints."""
