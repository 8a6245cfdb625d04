"""Plans: the options of a training, chosen from what the data are like."""
