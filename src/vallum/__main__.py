"""`python -m vallum`."""

from vallum.cli.main import main

if __name__ == "__main__":
    main()
