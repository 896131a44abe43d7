"""A worker process; see :mod:`ganvert.extraction.worker`."""

from ganvert.extraction.worker import main

if __name__ == "__main__":
    main()
