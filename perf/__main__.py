"""``python -m perf``. Every spawned worker imports this module again: it must do nothing then."""

if __name__ == "__main__":
    from perf.cli import main

    raise SystemExit(main())
