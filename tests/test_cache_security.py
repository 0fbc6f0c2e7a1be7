"""The cache of compile() as an attacker sees it: nobody but the user and root decides what is loaded."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable

import pytest

import pygostop as gs
from programs import directory_open_to_all
from pygostop import _cache, _native
from support import compiler, eventually

Run = Callable[..., subprocess.CompletedProcess[str]]

MALLORY = 12345
SOURCE = """#include <pygostop.h>
GS_TASK(twice)
{
    return gs_return_int(call, 2 * gs_arg_int(call, 0));
}
GS_EXPORT(twice);
"""
# Says which directory is used, and what for a library is made there.
COMPILES = f"import pygostop as gs; l = gs.compile({SOURCE!r}); print(l.path, l.twice(4))"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A cache of the test's own, two directories deep, and the system's compiler."""
    compiler()
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "place" / "cache"))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "place").mkdir(mode=0o700)
    return tmp_path / "place" / "cache"


def refused(says: str) -> None:
    with pytest.raises(gs.Error, match=f"^PYGOSTOP_CACHE: .*{says}"):
        gs.compile(SOURCE)


def stands_in(done: subprocess.CompletedProcess[str]) -> None:
    """A directory of the process was used, and is gone."""
    assert done.stderr == ""
    path, result = done.stdout.split()
    assert result == "8"
    assert path.startswith(os.path.realpath(tempfile.gettempdir()) + "/pygostop-")
    assert not os.path.exists(os.path.dirname(path))


# ---- who can put another directory in its place ----


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_a_place_of_another_user_is_refused(cache: pathlib.Path, mode: int) -> None:
    cache.mkdir(mode=0o700)
    os.chown(cache.parent, MALLORY, MALLORY)
    cache.parent.chmod(mode)
    refused(f"lies in .*place', which belongs to user {MALLORY}")


@as_root
def test_a_place_far_above_of_another_user_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tmp_path / "place", MALLORY, MALLORY)
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "place" / "a" / "b" / "cache"))
    refused(f"lies in .*place', which belongs to user {MALLORY}")
    assert list((tmp_path / "place").iterdir()) == []


@as_root
def test_a_place_that_a_group_can_write_is_refused(cache: pathlib.Path) -> None:
    os.chown(cache.parent, -1, MALLORY)
    cache.parent.chmod(0o770)
    refused(rf"lies in .*place', which group {MALLORY} can write to \(mode 0770\)")
    cache.parent.chmod(0o1770)
    assert gs.compile(SOURCE).twice(4) == 8


def test_a_place_of_the_users_own_group_is_not_refused(cache: pathlib.Path) -> None:
    user = pwd.getpwuid(os.geteuid())
    group = grp.getgrgid(user.pw_gid)
    if group.gr_name != user.pw_name or set(group.gr_mem) - {user.pw_name}:
        pytest.skip("this user has no group of its own")
    os.chown(cache.parent, -1, user.pw_gid)
    cache.parent.chmod(0o775)
    assert gs.compile(SOURCE).twice(4) == 8


def test_a_place_that_an_access_list_opens_is_refused(cache: pathlib.Path) -> None:
    user_obj, user, group_obj, mask, other, nobody = 1, 2, 4, 0x10, 0x20, 2**32 - 1
    entries = [
        *((user_obj, 7, nobody), (user, 7, MALLORY), (group_obj, 5, nobody)),
        *((mask, 7, nobody), (other, 5, nobody)),
    ]
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(cache.parent, "system.posix_acl_access", listed)
    except (OSError, AttributeError):
        pytest.skip("there are no access lists here")
    assert stat.S_IMODE(cache.parent.stat().st_mode) == 0o775
    refused("lies in .*place', which group .* can write to")


@as_root
def test_a_link_of_another_user_on_the_way_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    link = tmp_path / "shared" / "link"
    link.symlink_to(tmp_path / "place")
    os.chown(link, MALLORY, MALLORY, follow_symlinks=False)
    monkeypatch.setenv("PYGOSTOP_CACHE", str(link / "cache"))
    refused(f"lies in .*link', which belongs to user {MALLORY}")


def test_a_link_of_the_user_on_the_way_is_followed_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("place")
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "link" / "cache"))
    assert gs.compile(SOURCE).path.startswith(os.path.realpath(tmp_path / "place" / "cache") + "/")


# ---- a home that is somebody else's: sudo, set-user-ID ----


def without_setting(monkeypatch: pytest.MonkeyPatch, home: pathlib.Path | str) -> None:
    monkeypatch.delenv("PYGOSTOP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))


@as_root
def test_root_makes_nothing_in_the_home_of_another_user(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, MALLORY, MALLORY)
    without_setting(monkeypatch, home)
    stands_in(run_python(COMPILES))
    assert list(home.iterdir()) == []


@as_root
def test_root_makes_nothing_where_a_link_of_another_user_leads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "home" / ".cache").symlink_to(tmp_path / "target")
    os.chown(tmp_path / "home" / ".cache", MALLORY, MALLORY, follow_symlinks=False)
    without_setting(monkeypatch, tmp_path / "home")
    stands_in(run_python(COMPILES))
    assert list((tmp_path / "target").iterdir()) == []


def test_an_empty_home_is_none(monkeypatch: pytest.MonkeyPatch, run_python: Run) -> None:
    without_setting(monkeypatch, "")
    stands_in(run_python(COMPILES))


def test_a_relative_home_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    without_setting(monkeypatch, "home")
    stands_in(run_python(COMPILES))
    assert not (tmp_path / "home").exists()


def test_without_a_home_in_the_environment_it_is_the_users_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_setting(monkeypatch, "")
    monkeypatch.delenv("HOME")
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert _cache._chosen() == (os.path.join(home, ".cache", "pygostop"), False)


# ---- the directories that are made ----


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_all_directories_that_are_made_are_the_users_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run, umask: int
) -> None:
    without_setting(monkeypatch, tmp_path / "place")
    done = run_python(f"import os; os.umask({umask}); {COMPILES}")
    assert done.stderr == "" and done.stdout.startswith(f"{tmp_path}/place/.cache/pygostop/")
    for path in (tmp_path / "place").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


# ---- a directory of the process ----


def test_a_directory_for_temporary_files_that_others_rule_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    without_setting(monkeypatch, "")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "open"))
    done = run_python(COMPILES)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("OSError: ")
    assert "which everybody can write to" in done.stderr
    assert list((tmp_path / "open").iterdir()) == []


def test_a_directory_of_the_process_that_was_cleared_away_is_made_anew(run_python: Run) -> None:
    done = run_python("""
        import os
        from pygostop import _cache, _native
        first = _cache.process_directory()
        assert _cache.process_directory() == first
        os.rmdir(first)
        second = _cache.process_directory()
        print(second != first, os.path.isdir(second), os.path.exists(first))
    """)
    assert (done.stdout, done.stderr) == ("True True False\n", "")


@as_root
def test_a_directory_of_another_user_under_its_name_is_not_used(run_python: Run) -> None:
    done = run_python(f"""
        import os
        from pygostop import _cache, _native
        first = _cache.process_directory()
        os.rmdir(first)
        os.mkdir(first)
        os.chown(first, {MALLORY}, {MALLORY})
        print(first, _cache.process_directory() != first)
    """)
    first, other = done.stdout.split()
    assert (other, done.stderr) == ("True", "")
    os.rmdir(first)  # whose it is not was left alone


@as_root
def test_after_giving_up_root_another_directory_is_used() -> None:
    program = f"""
        import os
        from pygostop import _cache, _native
        of_root = _cache.process_directory()
        os.seteuid({MALLORY})
        own = _cache.process_directory()
        print(os.stat(own).st_uid, own != of_root)
        os.seteuid(0)
    """
    with directory_open_to_all() as place:
        place.chmod(0o1777)
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(program)],
            env={**os.environ, "TMPDIR": str(place), "HOME": ""},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == (f"{MALLORY} True\n", "")


# ---- what is in the cache ----


def rebuilt(cache: pathlib.Path, change: Callable[[pathlib.Path], object], run: Run) -> bool:
    """Whether the library is made again once its file was changed."""
    assert run(COMPILES).stdout.endswith(" 8\n")
    (path,) = cache.glob("*.so")
    change(path)
    before = path.lstat().st_ino
    assert run(COMPILES).stdout.endswith(" 8\n")
    return path.lstat().st_ino != before


def test_what_is_as_it_was_is_not_made_again(cache: pathlib.Path, run_python: Run) -> None:
    assert not rebuilt(cache, lambda path: None, run_python)


def test_a_file_with_another_name_is_not_loaded(
    cache: pathlib.Path, tmp_path: pathlib.Path, run_python: Run
) -> None:
    assert rebuilt(cache, lambda path: os.link(path, tmp_path / "other"), run_python)


@as_root
def test_a_file_of_another_user_is_not_loaded(cache: pathlib.Path, run_python: Run) -> None:
    assert rebuilt(cache, lambda path: os.chown(path, MALLORY, MALLORY), run_python)


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_file_that_others_can_write_is_not_loaded(
    cache: pathlib.Path, run_python: Run, mode: int
) -> None:
    assert rebuilt(cache, lambda path: path.chmod(mode), run_python)


def test_a_pipe_in_its_place_holds_nobody_up(cache: pathlib.Path, run_python: Run) -> None:
    def replace(path: pathlib.Path) -> None:
        path.unlink()
        os.mkfifo(path)

    assert rebuilt(cache, replace, run_python)


def test_a_process_that_is_killed_leaves_no_library(
    cache: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    slow = tmp_path / "slow-cc"
    slow.write_text(f"""#!/bin/sh
        {compiler()} "$@" || exit 1
        case " $* " in *" -E "*) ;; *) touch '{tmp_path}/compiled'; exec sleep 1000 ;; esac
    """)
    slow.chmod(0o755)
    monkeypatch.setenv("CC", str(slow))
    process = subprocess.Popen([sys.executable, "-P", "-c", COMPILES], process_group=0)
    try:
        assert eventually((tmp_path / "compiled").exists)
    finally:
        process.kill()
        process.wait()
        for found in pathlib.Path("/proc").glob("[0-9]*/cmdline"):  # the compiler, whose group is its own
            try:
                if f"{tmp_path}/slow-cc".encode() in found.read_bytes():
                    os.kill(int(found.parent.name), signal.SIGKILL)
            except OSError:
                pass
    assert list(cache.glob("*.so")) == []
    monkeypatch.delenv("CC")
    assert run_python(COMPILES).stdout.endswith(" 8\n")


# ---- load() ----


def test_a_file_that_is_replaced_after_it_was_read_is_not_loaded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tasks.so"
    path.write_bytes(pathlib.Path(gs.compile(SOURCE).path).read_bytes())
    other = pathlib.Path(gs.compile(SOURCE.replace("2 *", "3 *")).path).read_bytes()
    copy = _native._copy

    def replace_and_copy(path: str, data: bytes) -> str | None:
        pathlib.Path(path).write_bytes(other)
        return copy(path, data)

    monkeypatch.setattr(_native, "_copy", replace_and_copy)
    assert gs.load(path).twice(4) == 8
    assert path.read_bytes() == other


# ---- the compiler ----


def make_trap(path: pathlib.Path, sprung: pathlib.Path) -> None:
    path.write_text(f"#!/bin/sh\ntouch '{sprung}'\nexit 1\n")
    path.chmod(0o755)


@pytest.mark.parametrize("entry", ["", ".", "./"])
def test_no_compiler_is_taken_from_the_current_directory(
    entry: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cc", "gcc", "clang", "as", "ld", "cc1", "collect2"):
        make_trap(tmp_path / name, tmp_path / "sprung")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{entry}:{os.environ['PATH']}")
    assert gs.compile(SOURCE).twice(4) == 8
    assert not (tmp_path / "sprung").exists()


def test_a_named_compiler_in_a_relative_entry_of_path_is_refused_and_said(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trap(tmp_path / "my-cc", tmp_path / "sprung")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    monkeypatch.setenv("CC", "my-cc")
    with pytest.raises(gs.CompileError, match="no program 'my-cc' but in a relative entry of PATH"):
        gs.compile(SOURCE)
    assert not (tmp_path / "sprung").exists()
    monkeypatch.setenv("CC", "./my-cc")  # named by where it is
    with pytest.raises(gs.CompileError, match=str(tmp_path / "my-cc")):
        gs.compile(SOURCE)
    assert (tmp_path / "sprung").exists()


# ---- what the name of a library is made from ----


@pytest.fixture
def made(cache: pathlib.Path) -> Callable[..., int]:
    """Compiles, and tells how many libraries there are."""

    def make(*flags: str) -> int:
        gs.compile(SOURCE, flags=flags)
        return len(list(cache.glob("*.so")))

    return make


@pytest.mark.parametrize(
    ("name", "flag", "first", "second"),
    [
        ("options", "@{}", "-Wl,--build-id=0x1111", "-Wl,--build-id=0x2222"),
        ("exports.map", "-Wl,--version-script={}", "{ global: *; };", "{ global: * ; };"),
        ("script.ld", "-Wl,-T,{}", None, None),
    ],
)
def test_a_file_that_a_flag_names_makes_another_when_it_changes(
    tmp_path: pathlib.Path,
    made: Callable[..., int],
    name: str,
    flag: str,
    first: str | None,
    second: str | None,
) -> None:
    path = tmp_path / name
    if first is None or second is None:
        said = subprocess.run(["ld", "-shared", "--verbose"], capture_output=True, text=True).stdout
        if said.count("=" * 50) != 2:
            pytest.skip("the linker does not tell its script")
        first = said.split("=" * 50)[1]
        second = first + " "
    flag = flag.format(path)
    path.write_text(first)
    assert (made(flag), made(flag)) == (1, 1)
    path.write_text(second)
    assert made(flag) == 2


def test_a_file_whose_time_was_set_back_makes_another(
    tmp_path: pathlib.Path, made: Callable[..., int]
) -> None:
    path = tmp_path / "options"
    path.write_text("-Wl,--build-id=0x1111")
    found = path.stat()
    assert made(f"@{path}") == 1
    path.write_text("-Wl,--build-id=0x2222")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_mtime_ns == found.st_mtime_ns and path.stat().st_size == found.st_size
    assert made(f"@{path}") == 2


@pytest.mark.parametrize("variable", ["LIBRARY_PATH", "COMPILER_PATH", "LD_RUN_PATH"])
def test_the_environment_that_compilers_heed_makes_another(
    made: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, variable: str
) -> None:
    assert made() == 1
    monkeypatch.setenv(variable, str(tmp_path))
    assert made() == 2


def test_a_library_found_by_the_environment_makes_another_when_it_changes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.replace("GS_TASK", "int factor(void);\nGS_TASK").replace("2 *", "factor() *")
    monkeypatch.setenv("LIBRARY_PATH", str(tmp_path))
    for factor in (5, 66):
        (tmp_path / "factor.c").write_text(f"int factor(void) {{ return {factor}; }}")
        subprocess.run([compiler(), "-c", "-fPIC", "factor.c"], cwd=tmp_path, check=True)
        (tmp_path / "libfactor.a").unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", "libfactor.a", "factor.o"], cwd=tmp_path, check=True)
        assert gs.compile(source, libraries=["factor"]).twice(1) == factor
