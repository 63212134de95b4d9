"""The reader of the WAV that a speech program writes to a pipe."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from sipbridge.errors import StartupError
from sipbridge.wav import Pcm, read_wav

_FIRST_CHUNK = 12  # after RIFF, its length and WAVE
_CHUNK_HEADER = struct.Struct("<4sI")


def read_speech(output: bytes) -> Pcm:
    """Read one WAV, or a sequence of WAVs of the same rate: piper writes one per line of text.

    Raises `ValueError` with the reason for unplayable output.
    """
    first, rest = _first_wav(output)
    recordings = [_read(first)]
    while rest:
        following, rest = _first_wav(rest)
        recordings.append(_read(following))
    if len({recording.rate for recording in recordings}) > 1:
        raise ValueError("wrote WAVs of several rates")
    return Pcm(b"".join(recording.samples for recording in recordings), recordings[0].rate)


def _first_wav(stream: bytes) -> tuple[bytes, bytes]:
    """Split the first WAV off and correct its lengths. Return it and the remaining WAVs.

    A program cannot seek in a pipe to fill in lengths: espeak-ng leaves 0x7ffff000, ffmpeg 0xffffffff, others 0.
    """
    at = _FIRST_CHUNK
    while at + _CHUNK_HEADER.size <= len(stream):
        kind, length = _CHUNK_HEADER.unpack_from(stream, at)
        start = at + _CHUNK_HEADER.size
        if kind == b"data":
            length = length if 0 < length <= len(stream) - start else len(stream) - start
            header = bytearray(stream[:start])
            struct.pack_into("<I", header, 4, start + length - 8)
            struct.pack_into("<I", header, at + 4, length)
            rest = stream[start + length :]
            return bytes(header) + stream[start : start + length], rest if rest.startswith(b"RIFF") else b""
        at = start + length + length % 2
    return stream, b""


def _read(wav: bytes) -> Pcm:
    # A file in memory: no speech to a caller is written to disk.
    with os.fdopen(os.memfd_create("speech"), "wb") as file:
        file.write(wav)
        file.flush()
        try:
            return read_wav(Path(f"/proc/self/fd/{file.fileno()}"))
        except StartupError as error:
            _, _, why = str(error).partition(": ")
            raise ValueError(f"wrote unusable output: {why}") from None
