"""An update in which the author changed the template alone: what goes over the wire for it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from benchmarks.pins import Sized
from benchmarks.transfer.contenders import ours
from benchmarks.transfer.nginx import serving
from benchmarks.transfer.source import Source

_REPO = "acme/moved-GGUF"
_NAME = "moved-Q4_K_M.gguf"
# As many words as models of these years have, and so as long a header.
_WORDS = 151_936
_COLUMNS = 4096


def moved_header(home: Path, size_bytes: int) -> tuple[int, int]:
    """Bring a model, change its template upstream, and update it.

    Gives the bytes that were sent for the update, and those of the file.
    """
    weights = np.frombuffer(os.urandom(size_bytes // (2 * _COLUMNS) * 2 * _COLUMNS), np.float16)
    folder = home / "run"
    folder.mkdir()
    sent = 0
    for number, template in enumerate(("{{ messages }}", "{{ bos_token }}{{ messages }}" * 40)):
        source = _write(home / str(number), weights.reshape(-1, _COLUMNS), template)
        with serving(home / f"server-{number}", [source]) as server:
            call = ours(source, server.url, folder)
            subprocess.run(
                call.command, env=call.environment, stdout=subprocess.DEVNULL, check=True
            )
        sent = server.sent_bytes()
    return sent, source.size_bytes


def _write(folder: Path, weights: npt.NDArray[np.float16], template: str) -> Source:
    path = folder / _REPO / _NAME
    path.parent.mkdir(parents=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("moved")
    writer.add_block_count(1)
    writer.add_context_length(8192)
    writer.add_embedding_length(_COLUMNS)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"word{number}" for number in range(_WORDS)])
    writer.add_token_types([1] * _WORDS)
    writer.add_token_merges([f"word{number} word{number + 1}" for number in range(_WORDS - 1)])
    writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    sized = Sized(size_bytes=path.stat().st_size, sha256=digest)
    return Source(repo=_REPO, folder=folder, files={_NAME: sized})
