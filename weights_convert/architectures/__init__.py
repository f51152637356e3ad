"""Which model is it? Told from names and shapes alone, and checked against every tensor the model must have."""

from weights_convert.architectures._recognize import Candidate, candidates

__all__ = ["Candidate", "candidates"]
