"""`python -m verify` is `needle-verify`."""

from verify.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
