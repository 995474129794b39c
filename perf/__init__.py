"""The benchmark harness: ``python -m perf list | run SHAPE… | report FILE``.

A *shape* is a pattern of processes and links (see ``perf.shapes``). Its *cases* are ours and the peers',
started once and then run in turn, A B C A B C, for several rounds, so that whatever else the machine does
meets all of them alike; ratios are taken inside a round and their median is reported. Nothing in the
pipeline imports perf.
"""
