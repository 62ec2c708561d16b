"""Training: checkpoints, from which a training resumes, and the same training on several processes."""

from tfq_qrnn.training import distributed
from tfq_qrnn.training.checkpoints import Checkpoints

__all__ = ["Checkpoints", "distributed"]
