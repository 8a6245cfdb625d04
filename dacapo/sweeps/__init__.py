"""A sweep: what is left to do, starting it, and stopping runs that others leave behind."""
