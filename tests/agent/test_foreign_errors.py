"""What exceptions of runtimes and the last words of crashed processes stand for."""

from __future__ import annotations

import errno
import os

import pytest
from modnas_agent.errors import CRASHED, ENVIRONMENT, MEMORY, RUNTIME
from modnas_agent.foreign_errors import reason_for, reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), MEMORY),
        (OSError(errno.ENOMEM, "any words"), MEMORY),
        (OSError(errno.ENOSPC, "any words"), ENVIRONMENT),
        (PermissionError(errno.EACCES, "any words"), ENVIRONMENT),
        (OSError(errno.EIO, "any words"), ENVIRONMENT),
        (OSError(errno.ENOENT, "any words"), RUNTIME),
        (RuntimeError("std::bad_alloc"), MEMORY),
        (RuntimeError("CUDA error 100: no CUDA-capable device is detected"), ENVIRONMENT),
        (RuntimeError("can't start new thread"), ENVIRONMENT),
        (ImportError("libfoo.so: cannot open shared object file"), ENVIRONMENT),
        (RuntimeError("this operator is not implemented"), RUNTIME),
    ],
    ids=repr,
)
def test_a_type_or_a_number_decides_and_else_the_words(error: Exception, reason: str) -> None:
    assert reason_of(error, RUNTIME) == reason


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.EAGAIN, errno.ESTALE])
def test_words_of_the_system_mean_what_its_numbers_mean(number: int) -> None:
    assert reason_for(os.strerror(number), CRASHED) == ENVIRONMENT
