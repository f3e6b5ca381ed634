"""Protocols by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus_monai.choices import check_choice
from bus_monai.data.case import Case
from bus_monai.data.datalist import Datalist
from bus_monai.data.protocols.all_train import all_train
from bus_monai.data.protocols.assgan import assgan
from bus_monai.data.protocols.cgan_ac_caw import cgan_ac_caw
from bus_monai.data.protocols.kfold5 import FOLDS, kfold5
from bus_monai.data.protocols.leave_one_dataset_out import leave_one_dataset_out
from bus_monai.data.protocols.multi_encoder import multi_encoder
from bus_monai.data.protocols.rdau import rdau
from bus_monai.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """A way to split a data set.

    Args:
        split: from cases and seed to sections; with one more argument where ``parameter`` says so.
        summary: what it does, in a line.
        parameter: what may stand behind a colon after the name.
        read: turns that text into the argument; raises ``ValueError`` where it cannot.
        required: whether the parameter must be given.
    """

    split: Callable[..., Datalist]
    summary: str
    parameter: str | None = None
    read: Callable[[str], float | int | str] | None = None
    required: bool = False


def _fold(text: str) -> int:
    if int(text) not in range(FOLDS):
        raise ValueError
    return int(text)


def _share(text: str) -> float:
    if not 0 < float(text) < 100:
        raise ValueError
    return float(text) / 100


PROTOCOLS: dict[str, Protocol] = {
    "rdau": Protocol(rdau, "tumours, 538 : 50 : 57 (RDA-NET-GAN)"),
    "cgan_ac_caw": Protocol(cgan_ac_caw, "tumours, 70 : 10 : 20 (cGAN+AC+CAW)"),
    "assgan": Protocol(
        assgan,
        "tumours, 100 labelled + 447 unlabelled : 50 : 50 (ASSGAN)",
        "percentage of the labelled, such as assgan:5",
        _share,
    ),
    "multi_encoder": Protocol(multi_encoder, "all images, 624 : 78 : 78 (multi-encoder U-Net)"),
    "kfold5": Protocol(kfold5, "all images, 5 folds", "fold from 0 to 4, such as kfold5:3", _fold),
    "all_train": Protocol(all_train, "all images are trained on and none is tested, for a model that ships"),
    "leave_one_dataset_out": Protocol(
        leave_one_dataset_out,
        "all images, one data set is tested",
        "data set that is tested, such as leave_one_dataset_out:bus_uclm",
        str,
        required=True,
    ),
}


def apply_protocol(name: str, cases: Sequence[Case], seed: int) -> Datalist:
    """Split cases by the protocol of a name, which may carry a parameter after a colon.

    Raises:
        UserError: unknown name, or a parameter that the protocol does not take.
    """
    key, colon, text = name.partition(":")
    check_choice("protocol", key, list(PROTOCOLS))
    protocol = PROTOCOLS[key]
    if not colon and not protocol.required:
        return protocol.split(cases, seed)
    if protocol.read is None:
        raise UserError(f"protocol is {name!r}, but {key} takes no parameter: leave ':{text}' out.")
    try:
        if not text:
            raise ValueError
        return protocol.split(cases, seed, protocol.read(text))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"protocol is {name!r}: give {key} the {protocol.parameter}.") from error
