"""Reads the WAV that a speech program writes to a pipe."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from sipbridge.errors import StartupError
from sipbridge.wav import Pcm, read_wav

_FIRST_CHUNK = 12  # after RIFF, its length and WAVE
_CHUNK_HEADER = struct.Struct("<4sI")


def read_speech(output: bytes) -> Pcm:
    """Read one WAV, or several of one rate after another: piper writes one for each line of text.

    Raises `ValueError` that says why it cannot be played.
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
    """Cut the first WAV off, its lengths put right; returns it and the WAVs that follow.

    A program cannot go back in a pipe to fill in lengths: espeak-ng leaves 0x7ffff000, ffmpeg 0xffffffff, others 0.
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
    # A file in memory: what is said to a caller goes on no disk.
    with os.fdopen(os.memfd_create("speech"), "wb") as file:
        file.write(wav)
        file.flush()
        try:
            return read_wav(Path(f"/proc/self/fd/{file.fileno()}"))
        except StartupError as error:
            _, _, why = str(error).partition(": ")
            raise ValueError(f"wrote {why}") from None
