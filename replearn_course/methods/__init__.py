"""A method is a module whose ``forward`` maps a batch to its loss; the encoder that it trains is ``method.encoder``."""

from replearn_course.methods.barlow_twins import BarlowTwins
from replearn_course.methods.emp_ssl import EMPSSL
from replearn_course.methods.moco import MoCo
from replearn_course.methods.multi_view import MultiViewMethod
from replearn_course.methods.siamese import SiameseNetwork, SiameseVerifier
from replearn_course.methods.simclr import SimCLR
from replearn_course.methods.supervised import Supervised
from replearn_course.methods.triplet import InBatchTripletNetwork, TripletNetwork
from replearn_course.methods.vicreg import VICReg
from replearn_course.methods.wmse import WMSE

__all__ = [
    "EMPSSL",
    "WMSE",
    "BarlowTwins",
    "InBatchTripletNetwork",
    "MoCo",
    "MultiViewMethod",
    "SiameseNetwork",
    "SiameseVerifier",
    "SimCLR",
    "Supervised",
    "TripletNetwork",
    "VICReg",
]
