"""Which number format a CPU computes fastest in. Belongs here: that question only."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import torch


@cache
def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; elsewhere it is emulated and slower than float32."""
    with contextlib.suppress(OSError):
        return any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))
    return False


def mixed_precision() -> contextlib.AbstractContextManager[Any]:
    """Autocast to bfloat16 where that is native, else nothing."""
    return torch.autocast("cpu", torch.bfloat16) if fast_bfloat16() else contextlib.nullcontext()
