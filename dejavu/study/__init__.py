"""A study: its runs, its files, its jobs, and the records of how they were made."""
