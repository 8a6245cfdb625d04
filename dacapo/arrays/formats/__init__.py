"""One file for each format that volumes, skeletons and points are read from."""
