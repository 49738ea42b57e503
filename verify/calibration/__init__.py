"""needle-verify calibrate: how accurate each unary op is, over every float32 there is.

The constants of verify/accuracy.py rest on the tables that this makes (reports/accuracy-*.json).
"""
