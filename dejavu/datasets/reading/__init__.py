"""What all data sets that are read in place share."""
