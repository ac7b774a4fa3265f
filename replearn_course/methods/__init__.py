"""A method is a module whose ``forward`` maps a batch to its loss; the encoder that it trains is ``method.encoder``."""

from replearn_course.methods.siamese import SiameseNetwork, SiameseVerifier
from replearn_course.methods.triplet import InBatchTripletNetwork, TripletNetwork

__all__ = ["InBatchTripletNetwork", "SiameseNetwork", "SiameseVerifier", "TripletNetwork"]
