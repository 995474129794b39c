"""Captures of market data, and their replay through the pipeline's own services in one process.

``recorder`` writes what a feed takes; ``tape`` makes the same of a recorded day of swaps; ``engine`` steps
the services over it in lockstep, on real shared memory and a clock that follows the capture; ``chain``
settles what the executor signs in the local cluster's bank.
"""
