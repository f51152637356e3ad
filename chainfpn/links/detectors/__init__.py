"""Detectors and the parts they receive."""
