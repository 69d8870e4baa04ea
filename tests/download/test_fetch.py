"""Downloads from servers that misbehave: the right bytes, or a clear error; never a part taken for the whole."""

from __future__ import annotations

import gzip
import hashlib
import logging
import time

import pytest
import servers

from patchlib.download.fetch import DownloadError, RetryPolicy, fetch

logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
BODY = bytes(range(256)) * 40  # 10,240 bytes
SHA = hashlib.sha256(BODY).hexdigest()
QUICK = RetryPolicy(attempts=3, timeout=0.4, backoff=0.01)


@pytest.fixture
def web(web):
    web.files["/file.bin"] = BODY
    return web


@pytest.fixture
def ftp(tmp_path):
    folder = tmp_path / "ftp"
    folder.mkdir()
    (folder / "file.bin").write_bytes(BODY)
    with servers.serve_ftp(folder) as running:
        yield running


def get(urls, tmp_path, size=None, sha256=None, retry=QUICK):
    urls = [urls] if isinstance(urls, str) else urls
    return fetch(urls, tmp_path / "out" / "file.bin", size, sha256, retry)


def left_overs(tmp_path):
    folder = tmp_path / "out"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_good_server(web, tmp_path):
    fetched = get(f"{web.url}/file.bin", tmp_path, len(BODY), SHA)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert (fetched.bytes, fetched.sha256, fetched.source) == (len(BODY), SHA, f"{web.url}/file.bin")
    assert left_overs(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("after", [0, 1, 5000, len(BODY) - 1])
@pytest.mark.parametrize("known", [True, False])
def test_a_cut_connection_is_continued(web, tmp_path, after, known):
    web.script["/file.bin"] = [servers.cut(after)]
    get(f"{web.url}/file.bin", tmp_path, sha256=SHA if known else None)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert web.ranges("/file.bin") == [None, f"bytes={after}-" if after else None]


def test_every_byte_may_be_the_last_one_of_a_connection(web, tmp_path):
    web.files["/file.bin"] = body = BODY[:40]
    web.script["/file.bin"] = [servers.cut(1)] * 39
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == body


def test_a_second_call_continues_what_the_first_left(web, tmp_path):
    web.script["/file.bin"] = [servers.cut(4000), *[servers.answer(500)] * 3]
    with pytest.raises(DownloadError, match="answers 500"):
        get(f"{web.url}/file.bin", tmp_path)
    assert left_overs(tmp_path) == [".file.bin.part", ".file.bin.part.json"]
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert web.ranges("/file.bin")[-1] == "bytes=4000-"


def test_a_file_that_changes_between_two_connections_is_not_mixed(web, tmp_path):
    web.script["/file.bin"] = [servers.cut(4000), *[servers.answer(503)] * 3]
    with pytest.raises(DownloadError):
        get(f"{web.url}/file.bin", tmp_path)
    web.files["/file.bin"] = changed = BODY[::-1]
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == changed


def test_the_wrong_beginning_is_noticed_by_the_hash(web, tmp_path):
    # the part was taken for one of this file because the hash asked for is the same; its bytes are not
    web.script["/bad.bin"] = [servers.other(b"x" * 4000, ETag='"1"')]
    with pytest.raises(DownloadError, match="announces 4000 bytes, expected 10240"):
        get(f"{web.url}/bad.bin", tmp_path, len(BODY), SHA)
    web.files["/bad.bin"] = b"x" * len(BODY)
    web.script["/bad.bin"] = [servers.cut(4000)]
    get([f"{web.url}/bad.bin", f"{web.url}/file.bin"], tmp_path, len(BODY), SHA)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY


def test_it_announces_more_than_it_has(web, tmp_path):
    web.script["/file.bin"] = [servers.announce(len(BODY) + 5)] * 6
    with pytest.raises(DownloadError, match="gave up after 3 tries"):
        get(f"{web.url}/file.bin", tmp_path)
    assert "file.bin" not in left_overs(tmp_path)


@pytest.mark.parametrize("length", [len(BODY) - 5, len(BODY) + 5])
def test_it_lies_about_a_length_that_is_known(web, tmp_path, length):
    web.script["/file.bin"] = [servers.announce(length)]
    with pytest.raises(DownloadError, match=f"announces {length} bytes, expected {len(BODY)}"):
        get(f"{web.url}/file.bin", tmp_path, size=len(BODY))
    assert left_overs(tmp_path) == []


def test_it_announces_less_than_the_hash_needs(web, tmp_path):
    web.script["/file.bin"] = [servers.announce(len(BODY) - 5)]
    with pytest.raises(DownloadError, match="another file: its SHA-256 is"):
        get(f"{web.url}/file.bin", tmp_path, sha256=SHA)
    assert left_overs(tmp_path) == []


@pytest.mark.parametrize("known", ["size", "sha256"])
def test_no_length_but_something_to_compare_with(web, tmp_path, known):
    web.script["/file.bin"] = [servers.without_length]
    get(f"{web.url}/file.bin", tmp_path, **{known: {"size": len(BODY), "sha256": SHA}[known]})
    assert (tmp_path / "out/file.bin").read_bytes() == BODY


AGAIN = [None, None]
CONTINUED = [None, "bytes=4000-"]


@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        ([servers.cut(4000, tag=False)], AGAIN),  # neither tag nor hash says that it is the same file
        ([servers.cut(4000), servers.ignore_range], CONTINUED),
        ([servers.cut(4000), servers.wrong_range], [*CONTINUED, None]),
        ([servers.chunked(4000), servers.chunked()], AGAIN),
        ([servers.stall(4000)], CONTINUED),
        ([servers.answer(302, Location="/elsewhere.bin")], [None]),
    ],
    ids=["no tag", "ranges ignored", "wrong place", "chunks", "stalled", "redirected"],
)
def test_after_a_bad_start_the_file_is_whole(web, tmp_path, script, ranges):
    web.files["/elsewhere.bin"] = BODY
    web.script["/file.bin"] = script
    start = time.monotonic()
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert web.ranges("/file.bin") == ranges
    assert time.monotonic() - start < 3


def test_a_drip_counts_as_stalled(web, tmp_path):
    web.script["/file.bin"] = [servers.drip]
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (servers.answer(403), "answers 403.*\n.*--from"),
        (servers.answer(404), "answers 404"),
        (servers.without_length, "a cut would go unseen"),
        (servers.other(b"<html>sign in", Content_Type="text/html; charset=utf-8"), "a web page in the place of the"),
        (servers.other(gzip.compress(BODY), Content_Encoding="gzip"), r"compressed \(gzip\)"),
        (servers.answer(302, Location="ftps://x/file.bin"), "No connection adapters"),
    ],
)
def test_a_final_answer_is_asked_for_once(web, tmp_path, behaviour, message):
    web.script["/file.bin"] = [behaviour] * 3
    with pytest.raises(DownloadError, match=message):
        get(f"{web.url}/file.bin", tmp_path)
    assert len(web.requests) == 1
    assert left_overs(tmp_path) == []


def test_a_circle_of_redirects(web, tmp_path):
    web.script["/a.bin"] = [servers.answer(302, Location="/a.bin")] * 40
    with pytest.raises(DownloadError, match="redirects"):
        get(f"{web.url}/a.bin", tmp_path)


def test_a_path_is_copied_and_checked(tmp_path):
    (tmp_path / "copy.bin").write_bytes(BODY)
    get([str(tmp_path / "none.bin"), str(tmp_path / "copy.bin")], tmp_path, len(BODY), SHA)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    with pytest.raises(DownloadError, match="announces 10240 bytes, expected 3"):
        get(str(tmp_path / "copy.bin"), tmp_path, size=3)


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_it_asks_again_later(web, tmp_path, status):
    web.script["/file.bin"] = [servers.answer(status, Retry_After="0")] * 2
    get(f"{web.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert len(web.requests) == 3


def test_the_next_mirror(web, tmp_path):
    web.files["/wrong/file.bin"] = b"something else"
    mirrors = [f"{web.url}/none/file.bin", f"{web.url}/wrong/file.bin", f"{web.url}/file.bin"]
    fetched = get(mirrors, tmp_path, sha256=SHA)
    assert fetched.source == mirrors[2]
    assert (tmp_path / "out/file.bin").read_bytes() == BODY


def test_every_mirror_is_in_the_error(web, tmp_path):
    web.files["/wrong/file.bin"] = b"something else"
    with pytest.raises(DownloadError) as caught:
        get(
            [f"{web.url}/none/file.bin", f"{web.url}/wrong/file.bin", "http://127.0.0.1:9/file.bin"],
            tmp_path,
            sha256=SHA,
        )
    lines = str(caught.value).splitlines()
    assert "answers 404" in lines[1]
    assert "another file" in lines[2]
    assert "gave up after 3 tries" in lines[3]


def test_nobody_answers(tmp_path):
    with pytest.raises(DownloadError, match="gave up after 3 tries"):
        get("http://127.0.0.1:9/file.bin", tmp_path)
    assert left_overs(tmp_path) == []


def test_what_was_there_stays_when_a_download_fails(web, tmp_path):
    target = tmp_path / "out" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        get(f"{web.url}/none.bin", tmp_path)
    assert target.read_bytes() == b"old"


def test_ftp(ftp, tmp_path):
    get(f"{ftp.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY


@pytest.mark.parametrize("after", [1, 5000, len(BODY) - 1])
def test_ftp_is_continued(ftp, tmp_path, after):
    ftp.cuts = [after]
    get(f"{ftp.url}/file.bin", tmp_path)
    assert (tmp_path / "out/file.bin").read_bytes() == BODY
    assert ftp.cuts == []


def test_ftp_that_never_gets_further(ftp, tmp_path):
    ftp.cuts = [4000, 0, 0, 0]
    with pytest.raises(DownloadError, match="gave up after 3 tries"):
        get(f"{ftp.url}/file.bin", tmp_path)
    assert "file.bin" not in left_overs(tmp_path)


def test_ftp_has_no_such_file(ftp, tmp_path):
    with pytest.raises(DownloadError, match="answers 550"):
        get(f"{ftp.url}/none.bin", tmp_path)
