"""`python -m polycontrast`, for torchrun."""

from polycontrast.cli import main

if __name__ == "__main__":
    main()
