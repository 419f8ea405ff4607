"""`python -m arssr`: the command line."""

from arssr.cli.main import main

if __name__ == "__main__":
    main()
