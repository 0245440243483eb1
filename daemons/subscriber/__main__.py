"""The entry point of the subscriber, `python -m daemons.subscriber`."""

from daemons.runtime.lifecycle import main
from daemons.subscriber.service import serve

if __name__ == "__main__":
    main("subscriber", serve)
