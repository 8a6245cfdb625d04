"""Processes without knowledge of the domain: ranks, prefetching, memory, queues, files."""
