"""How far an image is from those that a network learned from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bus_monai.errors import UserError

# no postponed annotations here: TorchScript reads the types of the buffers as they stand

SHRINKAGE = 0.1
"""Share of the covariance that is replaced by that of features of equal variance without correlation."""
KEPT_SHARE = 0.99
"""Share of the images of the first group that lie within a distance of 1, judged by what was fitted without them."""
FOLDS = 5


class MahalanobisDistance(nn.Module):
    """Distance of an image's mean features from the nearest group of images that were fitted.

    Lee et al., NeurIPS 2018, arXiv 1807.03888, with groups of images for classes: a mean each, one covariance for all.
    The unit is the distance within which 99 % of the images of the first group lie; the others only say what else is
    known. Well beyond 1 an image is unlike all. Where images of other kinds were fitted too, one that lies nearer to a
    group of them has a distance above 1 in any case: that to the known by that to the others (after Ren et al., arXiv
    2106.09022, whose distance is a difference).

    Mean and covariance are buffers, learned by no gradient, and travel with the weights.

    Args:
        features: number of features.
        groups: number of groups of known images.
        others: number of groups of images of other kinds.

    Shape:
        (B, features, H, W) to (B,), any H and W.
    """

    groups: int
    others: int
    means: Tensor
    whitening: Tensor
    unit: Tensor

    def __init__(self, features: int, groups: int, others: int = 0) -> None:
        super().__init__()
        self.groups, self.others = groups, others
        self.register_buffer("means", torch.zeros(groups + others, features))
        # of values up to 1, so that half precision holds it, whatever the size of the features
        self.register_buffer("whitening", torch.zeros(features, features))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the distance of each image of ``x``, at least 0."""
        features = x.mean(dim=(2, 3))
        known = self._nearest(features, self.means[: self.groups])
        if self.others == 0:
            return known
        return torch.maximum(known, known / self._nearest(features, self.means[self.groups :]))

    def _nearest(self, features: Tensor, means: Tensor) -> Tensor:
        away = torch.matmul(features.unsqueeze(1) - means, self.whitening)
        return away.square().sum(dim=2).amin(dim=1).sqrt() / self.unit

    def fit(self, groups: Sequence[Tensor], others: Sequence[Tensor] = (), *, margin: float = 1.0) -> None:
        """Take means, covariance and unit from images.

        Args:
            groups: of each, the mean features (images, features) of its images, in any order of images.
            others: the same of images of other kinds.
            margin: factor of the unit, the distance within which 99 % of the images of the first group lie.

        Raises:
            UserError: there is another number of groups, or one has fewer images than there are folds.

        Example:
            >>> _ = torch.manual_seed(0)
            >>> distance = MahalanobisDistance(features=4, groups=1)
            >>> distance.fit([torch.randn(500, 4)])
            >>> near, far = torch.zeros(1, 4, 2, 2), torch.full((1, 4, 2, 2), 5.0)
            >>> float(distance(near)) < 1 < float(distance(far))
            True
        """
        sizes = [len(group) for group in (*groups, *others)]
        if (len(groups), len(others)) != (self.groups, self.others) or min(sizes) < FOLDS:
            raise UserError(
                f"{sizes} images in {len(groups)} known and {len(others)} other groups were given: fit {self.groups} "
                f"and {self.others} groups of {FOLDS} images or more."
            )
        first, *more = groups
        fold = torch.arange(len(first)) % FOLDS
        unseen = []
        for i in range(FOLDS):
            self._fit([first[fold != i], *more])
            unseen.append(self._nearest(first[fold == i].float(), self.means[: self.groups]))
        self._fit(groups)
        self.unit *= margin * torch.cat(unseen).quantile(KEPT_SHARE)
        for i, group in enumerate(others):
            self.means[self.groups + i] = group.mean(dim=0)

    def _fit(self, groups: Sequence[Tensor]) -> None:
        means = torch.stack([group.double().mean(dim=0) for group in groups])
        # each group counts alike, however many images it has
        covariance = torch.stack([group.double().T.cov(correction=0) for group in groups]).mean(dim=0)
        even = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * even
        # L of the inverse L L^T: |L^T (x - m)| is the distance
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
        self.means[: self.groups] = means
        self.whitening.copy_(whitening / whitening.abs().max())
        self.unit.copy_(1 / whitening.abs().max())
