"""Sweeps: planning what is left to do, launching it, and stopping runs that fall behind."""
