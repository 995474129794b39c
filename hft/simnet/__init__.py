"""A local Solana cluster for paper mode and tests: real pools, seeded order flow, settlement in a real
SVM."""
