"""What benchmarks/speed.py is made of: the jobs, the competitors, the clock, and the tables."""
