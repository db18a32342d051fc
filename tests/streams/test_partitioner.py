"""The compiled partitioner gives what Kafka's clients give, for any bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from streams import partitioner
from streams.partitioner import partition_of, partitions_of


@given(st.lists(st.binary(max_size=70), max_size=20), st.integers(1, 1_000))
def test_it_is_murmur2_of_kafka(keys: list[bytes], partitions: int) -> None:
    expected = [(int(murmur2(key)) & 0x7FFFFFFF) % partitions for key in keys]
    assert partitions_of(keys, partitions) == expected
    assert [partition_of(key, partitions) for key in keys] == expected


@pytest.mark.parametrize("key", [b"", b"a", b"ab", b"abc", b"abcd", b"abcde", b"\xff" * 33])
def test_compiled_and_plain_python_agree(key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Callable[..., Any] = partitioner._partitions.py_func
    monkeypatch.setattr(partitioner, "_murmur2", partitioner._murmur2.py_func)
    monkeypatch.setattr(partitioner, "_mixed", partitioner._mixed.py_func)
    data, ends = np.frombuffer(key, np.uint8), np.array([len(key)])
    assert plain(data, ends, 2**31) == [int(murmur2(key)) & 0x7FFFFFFF]
