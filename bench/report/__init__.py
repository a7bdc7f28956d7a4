"""What is read: a table for the terminal and figures. All of it is computed from the files of a run."""
