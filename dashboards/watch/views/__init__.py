"""What each page shows, as values: plain functions of a reading of the store. SQL is written here and nowhere else."""
