"""`python -m msgctl` is `msgctl`."""

from msgctl.cli import main

if __name__ == "__main__":
    main()
