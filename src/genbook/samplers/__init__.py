"""Ways to draw: each is a free function that bears its algorithm's name and takes its randomness by the door."""
