"""`python -m townwatch` is the command `townwatch`."""

from townwatch.cli.entry import main

if __name__ == "__main__":
    main()
