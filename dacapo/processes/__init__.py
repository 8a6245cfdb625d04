"""What processes need that know nothing of the domain: ranks, reading ahead, memory, queues."""
