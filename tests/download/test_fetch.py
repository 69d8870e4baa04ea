"""Downloads from servers that misbehave: the right bytes, or a clear error; never a part taken for the whole."""

import gzip
import hashlib
import os
import time

import pytest
import servers

from patchlib.download.fetch import DownloadError, Fetched, RetryPolicy, fetch

BODY = bytes(range(256)) * 40  # 10,240 bytes
SIZE, SHA = len(BODY), hashlib.sha256(BODY).hexdigest()
QUICK = RetryPolicy(attempts=3, timeout=0.4, backoff=0.01)
NOBODY = "http://127.0.0.1:9/file.bin"
CUT = servers.cut(4000)


@pytest.fixture
def url(web):
    web.files |= {"/file.bin": BODY, "/elsewhere.bin": BODY, "/wrong/file.bin": b"something else"}
    return f"{web.url}/file.bin"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def get(out):
    def get(*urls, size=None, sha256=None):
        fetched = fetch(urls, out / "file.bin", size, sha256, QUICK)
        content = (out / "file.bin").read_bytes()
        assert fetched == Fetched(len(content), hashlib.sha256(content).hexdigest(), fetched.source)
        assert names(out) == ["file.bin"]
        return content, fetched.source

    return get


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_good_server(url, get):
    assert get(url, size=SIZE, sha256=SHA) == (BODY, url)


@pytest.mark.parametrize("after", [0, 1, 5000, SIZE - 1])
@pytest.mark.parametrize("sha256", [SHA, None])
def test_a_cut_connection_is_continued(web, url, get, after, sha256):
    web.script["/file.bin"] = [servers.cut(after)]
    assert get(url, sha256=sha256) == (BODY, url)
    assert web.ranges("/file.bin") == [None, f"bytes={after}-" if after else None]


def test_every_byte_may_be_the_last_one_of_a_connection(web, url, get):
    web.files["/file.bin"] = body = BODY[:40]
    web.script["/file.bin"] = [servers.cut(1)] * 39
    assert get(url) == (body, url)


@pytest.mark.parametrize("now", [BODY, BODY[::-1]], ids=["the same file", "another version, never mixed"])
def test_a_second_call_continues_what_the_first_left(web, url, get, out, now):
    web.script["/file.bin"] = [CUT, *[servers.answer(500)] * 3]
    with pytest.raises(DownloadError, match="answers 500"):
        get(url)
    assert names(out) == [".file.bin.part", ".file.bin.part.json"]
    web.files["/file.bin"] = now
    assert get(url) == (now, url)
    assert web.ranges("/file.bin")[-1] == "bytes=4000-"


def test_the_wrong_beginning_is_noticed_by_the_hash(web, url, get):
    # what a mirror left is continued at the next because the hash asked for is the same; its bytes are not
    web.files["/bad.bin"] = b"x" * SIZE
    web.script["/bad.bin"] = [CUT, *[servers.answer(500)] * 3]
    assert get(f"{web.url}/bad.bin", url, size=SIZE, sha256=SHA) == (BODY, url)
    assert web.ranges("/file.bin") == ["bytes=4000-", None]


AGAIN, CONTINUED = [None, None], [None, "bytes=4000-"]
RECOVERIES = {
    "no tag or hash says that it is the same file": ([servers.cut(4000, tag=False)], AGAIN),
    "ranges ignored": ([CUT, servers.ignore_range], CONTINUED),
    "wrong place": ([CUT, servers.wrong_range], [*CONTINUED, None]),
    "nothing after what has arrived": ([CUT, servers.answer(416)], [*CONTINUED, None]),
    "chunks": ([servers.chunked(4000), servers.chunked()], AGAIN),
    "stalled": ([servers.stall(4000)], CONTINUED),
    "redirected": ([servers.answer(302, Location="/elsewhere.bin")], [None]),
    "a drip counts as stalled": ([servers.drip], None),
    **{f"{status}": ([servers.answer(status, Retry_After="0")] * 2, [None] * 3) for status in (408, 429, 500, 503)},
}


@pytest.mark.parametrize("case", RECOVERIES)
def test_after_a_bad_start_the_file_is_whole(web, url, get, case):
    web.script["/file.bin"], ranges = list(RECOVERIES[case][0]), RECOVERIES[case][1]
    start = time.monotonic()
    assert get(url) == (BODY, url)
    assert ranges in (None, web.ranges("/file.bin"))
    assert time.monotonic() - start < 3


def half(handler, body):
    servers.without_length(handler, body[:4000])


@pytest.mark.parametrize(("known", "cuts"), [({"size": SIZE}, []), ({"size": SIZE}, [half]), ({"sha256": SHA}, [])])
def test_no_length_but_something_to_compare_with(web, url, get, known, cuts):
    web.script["/file.bin"] = [*cuts, servers.without_length]
    assert get(url, **known) == (BODY, url)


@pytest.mark.parametrize(
    ("behaviour", "known", "message"),
    [
        (servers.answer(403), {}, "answers 403.*\n.*--from"),
        (servers.answer(404), {}, "answers 404"),
        (servers.without_length, {}, "a cut would go unseen"),
        (servers.other(b"<html>sign in", Content_Type="text/html; charset=utf-8"), {}, "a web page in the place of"),
        (servers.other(gzip.compress(BODY), Content_Encoding="gzip"), {}, r"compressed \(gzip\)"),
        (servers.answer(302, Location="ftps://x/file.bin"), {}, "No connection adapters"),
        (servers.announce(SIZE - 5), {"size": SIZE}, f"announces {SIZE - 5} bytes, expected {SIZE}"),
        (servers.announce(SIZE + 5), {"size": SIZE}, f"announces {SIZE + 5} bytes, expected {SIZE}"),
        (servers.announce(SIZE - 5), {"sha256": SHA}, "another file: its SHA-256 is"),
    ],
)
def test_a_final_answer_is_asked_for_once(web, url, get, out, behaviour, known, message):
    web.script["/file.bin"] = [behaviour] * 3
    with pytest.raises(DownloadError, match=message):
        get(url, **known)
    assert len(web.requests) == 1
    assert names(out) == []


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (servers.announce(SIZE + 5), "gave up after 3 tries"),
        (servers.answer(302, Location="/file.bin"), "redirects"),
    ],
)
def test_what_never_gets_better(web, url, get, out, behaviour, message):
    web.script["/file.bin"] = [behaviour] * 40
    out.mkdir()
    (out / "file.bin").write_bytes(b"old")
    with pytest.raises(DownloadError, match=message):
        get(url)
    assert (out / "file.bin").read_bytes() == b"old"


def test_a_header_that_drips_sends_us_to_the_mirror(web, url, get):
    web.script["/file.bin"] = [servers.drip_header] * QUICK.attempts
    assert get(url, f"{web.url}/elsewhere.bin") == (BODY, f"{web.url}/elsewhere.bin")
    assert not web.script["/file.bin"]


def test_a_path_is_copied_and_checked(tmp_path, get):
    copy = str(tmp_path / "copy.bin")
    (tmp_path / "copy.bin").write_bytes(BODY)
    assert get(str(tmp_path / "none.bin"), copy, size=SIZE, sha256=SHA) == (BODY, copy)
    with pytest.raises(DownloadError, match="announces 10240 bytes, expected 3"):
        get(copy, size=3)


def test_the_next_mirror_and_every_one_in_the_error(web, url, get, out):
    mirrors = [f"{web.url}/none/file.bin", f"{web.url}/wrong/file.bin", NOBODY]
    assert get(*mirrors, url, sha256=SHA) == (BODY, url)
    with pytest.raises(DownloadError, match="(?s)answers 404.*\n.*another file.*\n.*gave up after 3 tries"):
        get(*mirrors, sha256=SHA)
    assert names(out) == ["file.bin"]


@pytest.mark.parametrize("after", [None, 1, 5000, SIZE - 1])
def test_ftp(ftp, get, after):
    (ftp.folder / "file.bin").write_bytes(BODY)
    ftp.cuts = [] if after is None else [after]
    assert get(f"{ftp.url}/file.bin") == (BODY, f"{ftp.url}/file.bin")
    assert ftp.cuts == []


@pytest.mark.parametrize(("name", "message"), [("file.bin", "gave up after 3 tries"), ("none.bin", "answers 550")])
def test_ftp_that_never_gets_further(ftp, get, out, name, message):
    (ftp.folder / "file.bin").write_bytes(BODY)
    ftp.cuts = [4000, 0, 0, 0]
    with pytest.raises(DownloadError, match=message):
        get(f"{ftp.url}/{name}")
    assert "file.bin" not in names(out)


def test_ftp_of_another_version_is_not_mixed(ftp, get):
    file = ftp.folder / "file.bin"
    file.write_bytes(BODY)
    ftp.cuts = [4000, 0, 0, 0]
    with pytest.raises(DownloadError):
        get(f"{ftp.url}/file.bin")
    file.write_bytes(BODY[::-1])
    os.utime(file, (0, 0))
    assert get(f"{ftp.url}/file.bin") == (BODY[::-1], f"{ftp.url}/file.bin")


def test_two_versions_of_a_file_are_not_spliced(web, url, get):
    """Nobody knows a hash, and the server does not heed If-Range: the second part is of another version."""
    other = bytes(reversed(BODY))

    def rest_of_another(handler, body):
        handler.head(206, SIZE - 4000, Content_Range=f"bytes 4000-{SIZE - 1}/{SIZE}", ETag=servers.tag_of(other))
        handler.wfile.write(other[4000:])

    def rest_of_a_longer_one(handler, body):
        handler.head(206, SIZE, Content_Range=f"bytes 4000-{SIZE + 3999}/{SIZE + 4000}")
        handler.wfile.write(BODY)

    for behaviour in (rest_of_another, rest_of_a_longer_one):
        web.script["/file.bin"] = [CUT, behaviour]
        assert get(url) == (BODY, url)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (servers.other(b"<html>log in</html>", Content_Type="Text/HTML"), "sends a web page"),
        (servers.other(b""), "sends an empty file"),
        (lambda handler, body: handler.head(206, 0, Content_Range="bytes 5-9/10"), "answers 206"),
        (lambda handler, body: handler.head(302, 0, Location="http://[::"), "file.bin"),
        (lambda handler, body: handler.head(503, 0, Retry_After="\u00b2"), "answers 503|Retry"),
        (lambda handler, body: handler.head(200, None, Content_Length="\u00b2"), "file.bin"),
    ],
)
def test_what_is_not_the_file_sends_us_to_the_mirror(web, url, get, out, behaviour, reason):
    web.script["/file.bin"] = [behaviour] * 8
    mirror = f"{web.url}/elsewhere.bin"
    assert get(url, mirror) == (BODY, mirror)
    web.script["/file.bin"] = [behaviour] * 8
    with pytest.raises(DownloadError, match=reason):
        fetch([url], out / "x.bin", None, None, QUICK)


def test_chunks_without_an_end_are_cut_off(web, url, get, monkeypatch, out):
    web.script["/file.bin"] = [servers.chunked()]
    monkeypatch.setattr("patchlib.download.fetch.LARGEST", SIZE - 1)
    with pytest.raises(DownloadError, match=f"sends more than the {SIZE - 1} bytes the file has, or may have"):
        fetch([url], out / "file.bin", None, None, QUICK)


def test_offline_no_host_is_asked_and_files_are_read(web, url, get, out, tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHLIB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"PATCHLIB_OFFLINE is set\n.*--from FILE"):
        get(url)
    assert not web.requests
    (tmp_path / "copy.bin").write_bytes(BODY)
    assert get(str(tmp_path / "copy.bin")) == (BODY, str(tmp_path / "copy.bin"))
