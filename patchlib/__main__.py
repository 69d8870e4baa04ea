"""The command line: ``python -m patchlib reproduce | test | lab | site | search | live | course | data | ...``.

A user's mistake is one line on standard error and exit code 2; ``--traceback`` shows where it arose.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from patchlib import __version__
from patchlib.download import options

EXAMPLES = """examples: patchlib reproduce --only 03 08 --jobs 1; patchlib reproduce --profile workshop --set k=10;
patchlib reproduce --set benchmark=folder:/home/me/photos --dry-run; patchlib reproduce --scheduler tcp://10.0.0.1:8786"""
SCHEDULER = {"metavar": "ADDRESS", "help": "of a Dask cluster that describes the images, e.g. tcp://10.0.0.1:8786"}
SEARCHES = "Search a folder of photographs for what a picture shows; see which patch of each was most similar."
WHY = """\
Why EfficientNet-Lite0: by it patches (L3) gain over whole images on the photographs that ship, as they were shot and
composed into larger pictures; by cnn-small, trained on drawings, on the latter alone (notebook 03);
example: patchlib search cup.jpg photographs --html answer.html"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints take the way of all other mistakes."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; None = those of the process.

    Returns:
        Exit code: 0 well, 1 a notebook or a download failed, 2 a mistake in what was asked, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        asked = _parser().parse_args(arguments or ["--help"])
        return asked.run(asked)
    except (ValueError, OSError) as error:
        if "--traceback" in arguments:
            raise
        print(f"patchlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("patchlib: interrupted; what had ended is kept, the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> Parser:
    about, example = "Companion of the paper Patch-wise Retrieval.", "example: patchlib reproduce --dry-run"
    parser = Parser(prog="patchlib", description=about, epilog=example, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"patchlib {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where a mistake arose")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    options.add_parsers(commands)
    _add_search(commands)
    _add_live(commands)
    encoders = commands.add_parser("encoders", help="list the encoders", epilog="example: patchlib encoders")
    encoders.set_defaults(run=_encoders)
    _add_reproduce(commands)
    _add_extract(commands)
    _add_site(commands)
    _add_course(commands)
    _add_tools(commands)
    return parser


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser("reproduce", help="run the notebooks", allow_abbrev=False, epilog=EXAMPLES)
    add = reproduce.add_argument
    add("--profile", default="builtin", metavar="P", help="builtin, workshop, paper, mini-ilias or a .yaml file")
    add("--only", nargs="+", default=[], metavar="NN", help="notebooks by number or name, e.g. 03 A1")
    add("--out", type=Path, metavar="DIR", help="where notebooks/ and figures/ go (default: build/<profile>)")
    add("--set", action="append", default=[], type=_setting, metavar="KEY=VALUE", help="set a notebook parameter")
    add("--jobs", type=int, metavar="N", help="notebooks at a time (default: one a core, as far as memory goes)")
    add("--workers", type=int, metavar="N", help="processes (default: one per core)")
    add("--scheduler", **SCHEDULER)
    add("--skip-bad", action="store_true", help="leave unreadable images out, and count them")
    add("--in-place", action="store_true", help="refresh the outputs of the committed notebooks")
    add("--dry-run", action="store_true", help="only say what would run")
    reproduce.set_defaults(run=_reproduce)


def _add_extract(commands: Any) -> None:
    about = {"help": "describe a benchmark's regions, as the notebooks would, into the cache"}
    about["epilog"] = "example: patchlib extract --benchmark folder:photographs --encoder EfficientNet-Lite0"
    extract = commands.add_parser("extract", allow_abbrev=False, **about)
    add, where = extract.add_argument, extract.add_mutually_exclusive_group()
    add("--profile", default="builtin", metavar="P", help="whose settings decide the rest (default: builtin)")
    add("--benchmark", metavar="B", help="NAME or NAME:FOLDER (default: the profile's)")
    add("--level", default="L3", metavar="L", help="of the grid, L0..L3 (default: L3)")
    add("--encoder", metavar="E", help="a name of patchlib encoders (default: the profile's)")
    where.add_argument("--scheduler", **SCHEDULER)
    where.add_argument("--workers", type=int, metavar="N", help="threads here (default: one per core)")
    extract.set_defaults(run=_extract)


def _add_site(commands: Any) -> None:
    about = {"help": "make a website of executed notebooks", "epilog": "example: patchlib site --profile workshop"}
    site = commands.add_parser("site", allow_abbrev=False, **about)
    site.add_argument(
        "--profile", default="builtin", metavar="P", help="whose run (a checkout's builtin: what is committed)"
    )
    site.add_argument("--out", type=Path, metavar="DIR", help="of that run, as in reproduce (default: build/<profile>)")
    site.set_defaults(run=_site)
    about = {"help": "bundle the checkout for a DOI archive", "epilog": "example: patchlib archive --features"}
    archive = commands.add_parser("archive", allow_abbrev=False, **about)
    archive.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: build/archive)")
    archive.add_argument("--features", action="store_true", help="with the features in the cache")
    archive.set_defaults(run=_archive)


def _add_course(commands: Any) -> None:
    about = {"help": "write the students' pages of the course anew", "epilog": "example: patchlib course"}
    course = commands.add_parser("course", allow_abbrev=False, **about)
    course.set_defaults(run=_course)
    about = {"help": "make slides of the course", "epilog": "example: patchlib slides --out talk"}
    slides = commands.add_parser("slides", allow_abbrev=False, **about)
    slides.add_argument("--out", type=Path, metavar="DIR", help="where they go (default: build/slides)")
    slides.set_defaults(run=_slides)


def _add_tools(commands: Any) -> None:
    """Commands that hand everything behind their name on: ``+`` begins no option of theirs, so ``-`` does neither."""
    for name, run, about in (
        ("test", _test, "lint, types, tests and notebooks of a checkout; options are pytest's, as in: test -k search"),
        ("lab", _lab, "open the notebooks in JupyterLab; options are JupyterLab's, as in: lab --no-browser"),
    ):
        tool = commands.add_parser(name, help=about, allow_abbrev=False, prefix_chars="+", add_help=False)
        tool.add_argument("options", nargs="*")
        tool.set_defaults(run=run)


def _add_search(commands: Any) -> None:
    search = commands.add_parser("search", help="search one's own photographs", description=SEARCHES, epilog=WHY)
    add = search.add_argument
    add("query", type=Path, metavar="QUERY", help="a picture of what to look for")
    add("folder", type=Path, metavar="FOLDER", help="photographs; described on first use, then read from the cache")
    add("--level", default="L3", metavar="L", help="patches of each photograph, L0 to L3 (default: %(default)s)")
    about = "default: %(default)s; all: python -m patchlib encoders"
    add("--encoder", default="EfficientNet-Lite0", metavar="E", help=about)
    add("--top", type=int, default=10, metavar="N", help="images to show (default: %(default)s)")
    add("--html", type=Path, metavar="FILE", help="write the answer as one page, too")
    search.set_defaults(run=_search)


def _add_live(commands: Any) -> None:
    about = {"help": "make the page on which patches search, and show it"}
    live = commands.add_parser("live", allow_abbrev=False, epilog="example: patchlib live --serve 8000", **about)
    live.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: build/live)")
    live.add_argument("--serve", type=int, metavar="PORT", help="then serve it to this machine (0: any free port)")
    live.set_defaults(run=_live)


def _setting(text: str) -> tuple[str, Any]:
    """``encoder=cnn-small`` -> ("encoder", "cnn-small"); values are read as YAML: numbers, lists, true, null."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected KEY=VALUE")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"value of {text!r} is not valid YAML; quote it") from error


def _reproduce(asked: argparse.Namespace) -> int:
    from patchlib.run import runner

    _use(asked.scheduler)
    overrides = dict(asked.set)
    if "profile" in overrides:
        raise ValueError("the profile is chosen with --profile, not with --set")
    if asked.workers is not None:
        overrides["workers"] = asked.workers
    if asked.skip_bad:
        overrides["skip_bad"] = True
    taken = {name: getattr(asked, name) for name in ("profile", "only", "out", "in_place", "jobs")}
    return runner.reproduce(runner.Run(overrides=overrides, **taken), dry_run=asked.dry_run)


def _extract(asked: argparse.Namespace) -> int:
    from patchlib import profiles

    _use(asked.scheduler)
    chosen = {"benchmark": asked.benchmark, "encoder": asked.encoder, "workers": asked.workers}
    made = profiles.open(asked.profile, **chosen).features(asked.level)
    print(f"{made.meta['name']}: {made.n_images} images, {len(made.boxes)} regions, in the cache")
    return 0


def _use(scheduler: str | None) -> None:
    if scheduler is not None:
        from patchlib.features import cluster

        cluster.use(scheduler)


def _site(asked: argparse.Namespace) -> int:
    from patchlib import profiles
    from patchlib.course import slides
    from patchlib.run import runner, site
    from patchlib.support import paths

    profiles.load(asked.profile)  # an unknown one is a mistake
    run = runner.Run(profile=asked.profile, out=asked.out)
    committed = run.is_plain and run.out is None and paths.is_checkout()
    source = paths.notebooks() if committed else run.build / "notebooks"
    page = site.build(source, run.figures, run.build / "site", live=True, slides=committed)
    if committed:
        slides.build(page.parent / "slides")
    print(f"wrote the site; open {page.as_uri()}")
    return 0


def _archive(asked: argparse.Namespace) -> int:
    from patchlib.run import archive
    from patchlib.support import paths

    print(f"wrote {archive.build(asked.out or paths.root() / 'build' / 'archive', asked.features)}")
    return 0


def _course(asked: argparse.Namespace) -> int:
    from patchlib.course import student

    written = student.write()
    print(f"wrote {len(written)} students' pages in {written[0].parent}")
    return 0


def _slides(asked: argparse.Namespace) -> int:
    from patchlib.course import slides
    from patchlib.support import paths

    pages = slides.build((asked.out or paths.root() / "build" / "slides").resolve())
    print("wrote slides; open one in a browser:", *(page.as_uri() for page in pages), sep="\n  ")
    return 0


def _test(asked: argparse.Namespace) -> int:
    from patchlib.run import tools

    return tools.test(asked.options)


def _lab(asked: argparse.Namespace) -> int:
    from patchlib.run import tools

    return tools.lab(asked.options)


def _search(asked: argparse.Namespace) -> int:
    from patchlib.explorer import search

    answer = search.run(asked.query, asked.folder, asked.level, asked.encoder, asked.top)
    said = f"{answer.total} photographs in {asked.folder}, {asked.level} by {asked.encoder}"
    print(said, *search.table(answer), sep="\n")
    for name in answer.left_out:
        print(f"patchlib: left out, cannot be read: {asked.folder / name}", file=sys.stderr)
    if asked.html:
        search.write_page(answer, asked.query, asked.folder, said, asked.html)
        print(f"wrote {asked.html}")
    return 0


def _live(asked: argparse.Namespace) -> int:
    from patchlib.run import live
    from patchlib.support import paths

    page = live.build(asked.out or paths.root() / "build" / "live")
    print(f"wrote {page}; browsers open it from a server only: --serve 8000")
    if asked.serve is not None:
        live.serve(page.parent, asked.serve)
    return 0


def _encoders(asked: argparse.Namespace) -> int:
    from patchlib import encoders

    rows = [("name", "dim", "input", "family", "pretraining", "model")]
    for name in encoders.names():
        spec = encoders.spec(name)
        pretraining = f"{spec.dataset} ({spec.dataset_size:,})" if spec.dataset_size else spec.dataset
        rows.append((name, str(spec.dim), str(spec.input_size), spec.family, pretraining, spec.model))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
