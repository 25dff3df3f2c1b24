"""What to do about what is: pure functions from values and the time to plans. No I/O, no clock, no chance."""
