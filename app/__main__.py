"""`python -m app` is the command `townwatch`."""

from app.cli import main

if __name__ == "__main__":
    main()
