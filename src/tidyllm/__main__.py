"""`python -m tidyllm`."""

from tidyllm.cli import main

if __name__ == "__main__":
    main()
