"""The unique strings of PJLIB, as the native layer makes them."""

from __future__ import annotations

import ctypes
import sys
import uuid

from sipbridge_pjsip import pjsua2 as pj

LENGTH = 36
# The extension module, which exports what PJLIB does.
NATIVE = ctypes.CDLL(sys.modules[f"{pj.__package__}._pjsua2"].__file__)


class PjString(ctypes.Structure):
    """PJLIB's `pj_str_t`."""

    _fields_ = (("ptr", ctypes.c_char_p), ("slen", ctypes.c_ssize_t))


def unique_string() -> str:
    text = ctypes.create_string_buffer(b"x" * (LENGTH + 1))
    string = PjString(ctypes.cast(text, ctypes.c_char_p))
    NATIVE.pj_generate_unique_string(ctypes.byref(string))
    assert (string.slen, text.raw[LENGTH:]) == (LENGTH, b"x\0")
    return text.raw[:LENGTH].decode()


def test_unique_strings_are_random_uuids() -> None:
    for _ in range(40):  # more than one reading of random bytes
        text = unique_string()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)


def test_no_bit_is_the_same_in_all_unique_strings_except_version_and_variant() -> None:
    found = [uuid.UUID(unique_string()).int for _ in range(200)]
    assert len(set(found)) == len(found)
    ones = zeros = 0
    for value in found:
        ones |= value
        zeros |= ~value & (2**128 - 1)
    fixed = uuid.UUID("00000000-0000-f000-c000-000000000000").int
    assert ones & zeros == (2**128 - 1) & ~fixed
