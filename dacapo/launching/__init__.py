"""Where the jobs of a sweep run: processes on this machine, or a SLURM cluster."""
