"""Pure decisions: searching, sizing, costs, validation, risk, tips, gates, kill rules and P&L.

Plain values in, NamedTuples out: no clocks, rings, files or sockets. Money is in lamports or base
units, time in integer nanoseconds, shares in parts per million.
"""
