"""Numbers in, numbers out: imports nothing of ours, and every formula cites its source."""
