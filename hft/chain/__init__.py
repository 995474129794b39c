"""The way to Solana: transactions, keys, and the sockets of a cluster (in paper mode a local one only)."""
