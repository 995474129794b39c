"""Solana arbitrage pipeline: pinned processes over shared memory; see README.md for the architecture."""
