"""Classifiers and their trunks, which give detectors feature maps of several strides."""
