"""What benchmarks/search.py is made of: tasks, sides, runs, scores, and the page."""
