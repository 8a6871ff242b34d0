"""A short training on the corpus after other steps: what of a loss comes back when the rest of the weights may adapt.

After pruning, what is zero stays zero. After rounding, the float32 values that the rounded weights stand for
are tuned, and then stored as float32: the model is only as small as before if a later step rounds again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, MethodConfig
from stages.compression.tuning import TrainingConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1
_WHAT = "zeros among rounded weights may be pruned ones or points of the grid"
_FIX = "say keep_zeros: true or false"


class Config(TrainingConfig):
    """Settings of ``finetune``."""

    method: Literal["finetune"]
    keep_zeros: bool | None = None
    """Whether weights of matrices that are zero stay zero. They do if left out; after a step that rounds it must
    be said, since a zero may be pruned there, or no more than the nearest point of the grid."""

    def check_after(self, earlier: Sequence[MethodConfig], where: str) -> None:
        """Not right after a step that rounds, unless ``keep_zeros`` is said."""
        super().check_after(earlier, where)
        if self.keep_zeros is None and earlier and earlier[-1].on_grid:
            raise ParamsError(_WHAT, where=f"{where}: {self.method}", fix=_FIX)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Train the model on the corpus' own words.

    Raises:
        MethodError: A sentence encoder, ``keep_zeros`` not given after rounding, or see
            ``stages.compression.tuning``.
    """
    from stages.compression.artefact import open_model
    from stages.compression.rounding import Integers
    from stages.compression.scaled import ScaledIntegers
    from stages.compression.tuning import refuse_sentence_encoder, train_subject
    from stages.training.zeros import KeptZeros

    refuse_sentence_encoder(subject)
    on_grid = any(isinstance(form, (Integers, ScaledIntegers)) for form in subject.forms.values())
    if config.keep_zeros is None and on_grid:
        raise MethodError(_WHAT, where=config.method, fix=_FIX)
    keep = config.keep_zeros is not False
    subject.resolved = {"keep_zeros": keep}
    zeros = KeptZeros([parameter for parameter in subject.model.parameters() if parameter.dim() > 1])
    parent = open_model(subject.folder, subject.loaded.family).model
    train_subject(subject, config, context, ("parent", parent), constraint=zeros if keep else None)
