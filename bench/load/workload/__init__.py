"""What is ordered and when: orders, arrivals, shapes, replays."""
