"""`python -m reliability`, in the folder `tests`."""

from reliability.run import main

if __name__ == "__main__":
    main()
