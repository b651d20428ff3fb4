"""`python -m vdb.cli`: the `vdb` command."""

from vdb.cli.main import main

if __name__ == "__main__":
    main()
