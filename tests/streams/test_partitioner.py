"""The compiled partitioner gives what Kafka's clients give, for any bytes."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from streams import partitioner
from streams.partitioner import partition_of


@given(st.binary(max_size=70), st.integers(1, 1_000))
def test_it_is_murmur2_of_kafka(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (int(murmur2(key)) & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("key", [b"", b"a", b"ab", b"abc", b"abcd", b"abcde", b"\xff" * 33])
def test_compiled_and_plain_python_agree(key: bytes) -> None:
    assert partitioner._murmur2.py_func(key) == partitioner._murmur2(key) == int(murmur2(key))


def test_warming_compiles_once() -> None:
    partitioner.warm()
    partitioner.warm()
    assert len(partitioner._murmur2.signatures) == 1
