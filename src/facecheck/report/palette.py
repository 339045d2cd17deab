"""The colours of plots and pages, in one place."""

from __future__ import annotations

from collections.abc import Mapping

from facecheck.core.labels import KINDS, Verdict

#: Okabe and Ito 2008, "Color universal design": which colour-blind people can distinguish.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
#: A kind's colour, the same in every plot and page.
KIND_COLOURS: Mapping[str, str] = dict(zip(KINDS, OKABE_ITO, strict=False))
#: A verdict's colour; what has no verdict is grey.
VERDICT_COLOURS: Mapping[str, str] = {
    Verdict.REAL: "#0072B2",
    Verdict.ARTIFICIAL: "#D55E00",
    Verdict.UNCERTAIN: "#E69F00",
    "": "#8A8F98",
}
