"""Weight sharing: kernels whose weights have a few values between them."""

from edgekit.clustering.keep_clusters import KeepClusters
from edgekit.clustering.share import share
from edgekit.clustering.weight_clustering import WeightClustering

__all__ = ["KeepClusters", "WeightClustering", "share"]
