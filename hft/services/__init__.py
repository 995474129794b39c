"""The services: one file each, rings wired to decisions."""
