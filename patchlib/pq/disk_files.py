"""Inverted lists in a file: faiss' own layout of on-disk lists, written from first to last byte.

``lists.ivfdata`` holds list after list, its codes, then its ids, each as long as it is; ``index.faiss`` says where they
begin. Plain faiss opens both. ``faiss.contrib.ondisk.merge_ondisk`` writes the same bytes, but through a memory map,
where a full disk ends the process with a bus error and not with a message.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchlib.pq import file_size, training
from patchlib.support import provenance

if TYPE_CHECKING:
    import faiss

DATA, INDEX = "lists.ivfdata", "index.faiss"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Entries(NamedTuple):
    """What one list holds: codes (n, code_size) and ids (n,)."""

    codes: NDArray[np.uint8]
    ids: NDArray[np.int64]


def sizes(ivf: Any) -> NDArray[np.int64]:
    """(nlist,) vectors in every list."""
    return np.array([ivf.invlists.list_size(number) for number in range(ivf.nlist)], np.int64)


def entries(ivf: Any, number: int) -> Entries:
    """What a list holds; views of what faiss holds or maps."""
    import faiss

    lists, count, size = ivf.invlists, ivf.invlists.list_size(number), ivf.code_size
    if not count:
        return Entries(np.empty((0, size), np.uint8), np.empty(0, np.int64))
    codes = faiss.rev_swig_ptr(lists.get_codes(number), count * size)
    return Entries(codes.reshape(count, size), faiss.rev_swig_ptr(lists.get_ids(number), count))


def write(folder: Path, trained: faiss.Index, n_vectors: int, lists: Iterable[Entries]) -> None:
    """Write an index; each file whole or not at all.

    Args:
        folder: where ``lists.ivfdata`` and ``index.faiss`` go.
        trained: index without vectors; not changed.
        n_vectors: in all lists.
        lists: what they hold, in order; one is in memory at a time.

    Raises:
        OSError: no space left, which is looked at before anything is written; names the file.
        ValueError: the lists hold more or fewer vectors.
    """
    import faiss

    index = faiss.clone_index(trained)
    ivf = training.lists_of(index)
    data, size, lengths = (folder / DATA).resolve(), n_vectors * (ivf.code_size + 8), []
    with enough_space(data, size), provenance.atomic_write(data) as file:
        for codes, ids in lists:
            file.write(codes)
            file.write(ids)
            lengths.append(len(ids))
        if sum(lengths) != n_vectors:
            raise ValueError(f"the lists hold {sum(lengths)} vectors, expected {n_vectors}")
    on_disk = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, str(data))
    counts = np.array(lengths, np.uint64)  # faiss is given its address, so it needs a name
    on_disk.set_all_lists_sizes(faiss.swig_ptr(counts))
    on_disk.totsize = size
    ivf.replace_invlists(on_disk, False)  # ours to delete
    ivf.ntotal = index.ntotal = n_vectors
    with enough_space(folder / INDEX), provenance.atomic_write(folder / INDEX) as file:
        file_size.write(index, file.write)


def read(folder: Path, only: Collection[int] | None = None) -> faiss.Index:
    """Open an index of :func:`write`, which may have been moved; its lists are memory-mapped, for reading.

    ``only``: lists that a search can see, the others are empty to it; None = all.

    Raises:
        ValueError: a file is missing, truncated or no index; names it.
    """
    import faiss

    path, data = folder / INDEX, (folder / DATA).resolve()
    try:
        # not IO_FLAG_ONDISK_SAME_DIR, which prints: the lists are mapped here, wherever they have been moved
        index = faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA)
    except RuntimeError as error:
        raise ValueError(f"{path} is missing or damaged; build the index again ({error})") from error
    ivf = training.lists_of(index)
    lists: Any = faiss.downcast_InvertedLists(ivf.invlists)
    size = data.stat().st_size if data.exists() else 0
    if size != lists.totsize:
        raise ValueError(f"{data} has {size} bytes, expected {lists.totsize}; build the index again")
    lists.filename, lists.read_only = str(data), True
    lists.do_mmap()
    lists.read_only = False  # of the table of lists: the file is mapped for reading alone
    for number in set(range(ivf.nlist)).difference(range(ivf.nlist) if only is None else only):
        lists.resize(number, 0)
    lists.read_only = True
    return index


def drop_pages(ivf: Any) -> None:
    """Take the pages of mapped lists out of this process; the system's cache may keep them, and give them back."""
    import ctypes
    import mmap

    import faiss

    lists: Any = faiss.downcast_InvertedLists(ivf.invlists)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise(ctypes.c_void_p(int(lists.ptr)), ctypes.c_size_t(lists.totsize), mmap.MADV_DONTNEED)


@contextmanager
def enough_space(path: Path, size: int = 0) -> Iterator[None]:
    """Refuse ``size`` bytes where they do not fit; say of a full disk which file did not fit and what to do.

    Raises:
        OSError: with the error's number.
    """
    try:
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, f"{size} bytes")
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(
            error.errno,
            f"no space left for {path.name}; finished parts are kept: make room there and build again, which goes on "
            "from them, or build in a folder on another disk",
            str(path),
        ) from error
