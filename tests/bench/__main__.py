"""`python -m bench`, in the folder `tests`."""

from bench.run import main

if __name__ == "__main__":
    main()
