"""One module a shape or a family of them; ``perf.catalogue`` has them all by name."""
