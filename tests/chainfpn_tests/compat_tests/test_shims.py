"""Each kind of shim does what it says, and never replaces what is there."""

import importlib
import importlib.machinery
import importlib.util
import os
import py_compile
import sys
import types
import warnings
import zipfile

import pytest

from chainfpn.compat import TABLE, Attribute, Library, Module, Patch, Setting, WarningFilter, finders

WORDS = {"since": "today", "needed_by": "a test", "stand_in": "a thing"}


@pytest.fixture
def loaded_modules(monkeypatch, tmp_path):
    """Give a folder on sys.path; forget afterwards what was imported and registered."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    for finder in (finders.STAND_INS, finders.ON_IMPORT):
        monkeypatch.setattr(finder, "shims", dict(finder.shims))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_attribute_is_set_only_where_it_is_missing(monkeypatch):
    module = types.ModuleType("old_library")
    module.present = "real"
    monkeypatch.setitem(sys.modules, "old_library", module)
    Attribute("old_library.present", value=lambda module: f"stand-in of {module.__name__}", **WORDS).enable()
    Attribute("old_library.missing", value=lambda module: f"stand-in of {module.__name__}", **WORDS).enable()
    assert (module.present, module.missing) == ("real", "stand-in of old_library")


def test_a_missing_attribute_is_set_when_the_module_is_imported(loaded_modules):
    Attribute("later_library.missing", value=lambda module: module.present + 1, **WORDS).enable()
    assert "later_library" not in sys.modules
    (loaded_modules / "later_library.py").write_text("present = 1\n")
    assert importlib.import_module("later_library").missing == 2


def test_a_real_module_is_never_replaced(loaded_modules):
    (loaded_modules / "real_library.py").write_text("value = 'real'\n")
    Module("real_library", contents=lambda: {"value": "stand-in"}, **WORDS).enable()
    assert importlib.import_module("real_library").value == "real"


def test_a_lazy_module_is_made_on_import_only(loaded_modules):
    calls = []
    Module("lazy_library", contents=lambda: calls.append(1) or {"value": 3}, **WORDS).enable()
    assert calls == []
    assert importlib.import_module("lazy_library").value == 3
    assert calls == [1]


def test_a_missing_submodule_of_a_real_package_is_found(loaded_modules):
    (loaded_modules / "real_package").mkdir()
    (loaded_modules / "real_package" / "__init__.py").write_text("")
    Module("real_package.gone", contents=lambda: {"value": 3}, **WORDS).enable()
    importlib.import_module("real_package.gone")
    assert sys.modules["real_package"].gone.value == 3


@pytest.mark.parametrize("failure", ["import no_such_module", "raise TypeError('broken')", "None.attribute"])
def test_a_module_that_is_there_but_broken_gets_its_stand_in(loaded_modules, failure):
    (loaded_modules / "broken_library.py").write_text(failure)
    Module("broken_library", contents=lambda: {"value": 3}, **WORDS).enable()
    assert importlib.import_module("broken_library").value == 3


def test_the_import_of_a_module_with_a_stand_in_is_silent(loaded_modules):
    (loaded_modules / "noisy_library.py").write_text("import warnings\nwarnings.warn('deprecated')\nvalue = 4\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Module("noisy_library", contents=dict, **WORDS).enable()
        assert importlib.import_module("noisy_library").value == 4


def test_whatever_else_is_asked_of_a_stand_in_is_named(loaded_modules):
    Module("small_library", contents=dict, **WORDS).enable()
    module = importlib.import_module("small_library")
    with pytest.raises(AttributeError, match="small_library is chainfpn's stand-in for a missing module; no other in"):
        _ = module.other
    with pytest.raises(ImportError, match="other"):
        exec("from small_library import other")


def test_stand_ins_are_found_after_what_is_real_and_shims_act_before():
    position = sys.meta_path.index
    assert position(finders.ON_IMPORT) < position(importlib.machinery.PathFinder) < position(finders.STAND_INS)


SOURCE = """
class Base:
    def price(self):
        return 1

class Shop(Base):
    '''Sells.'''

    def price(self, factor=2):
        '''Text at the margin
stays.'''
        return super().price() * factor + 1

    @property
    def name(self):
        return "old"

def twice(f):
    import functools
    return functools.wraps(f)(lambda *args: 2 * f(*args))

@twice
def sum_of(a, b):
    return a - b

version = missing()
"""


@pytest.fixture
def shop(loaded_modules):
    (loaded_modules / "shop.py").write_text(SOURCE.replace("missing()", "1"))
    return "shop"


PATCHES = (
    ("Shop.price", {"+ 1": "+ 10"}, lambda shop: shop.Shop().price(3), 4, 13),
    ("Shop.name", {'"old"': '"new"'}, lambda shop: shop.Shop().name, "old", "new"),
    ("sum_of", {"a - b": "a + b"}, lambda shop: shop.sum_of(3, 1), 4, 8),
)


@pytest.mark.parametrize("imported_before", [False, True])
@pytest.mark.parametrize(("function", "replace", "call", "before", "after"), PATCHES)
def test_a_function_is_patched_on_import_or_at_once(shop, function, replace, call, before, after, imported_before):
    if imported_before:
        assert call(importlib.import_module(shop)) == before
    Patch(f"shop:{function}", replace=replace, applies=lambda: True, **WORDS).enable()
    assert call(importlib.import_module(shop)) == after


def test_an_error_in_a_patched_function_has_its_line(shop):
    Patch("shop:Shop.price", replace={"+ 1": "+ None"}, applies=lambda: True, **WORDS).enable()
    with pytest.raises(TypeError) as error:
        importlib.import_module(shop).Shop().price()
    assert (
        error.traceback[-1].lineno + 1 == SOURCE.splitlines().index("        return super().price() * factor + 1") + 1
    )


def test_the_top_of_a_module_is_patched(loaded_modules):
    (loaded_modules / "shop.py").write_text(SOURCE)
    Patch("shop", replace={"missing()": "7"}, applies=lambda: True, **WORDS).enable()
    assert importlib.import_module("shop").version == 7


@pytest.mark.parametrize(
    "options", [{"replace": {"a * b": "a + b"}, "applies": lambda: True}, {"replace": {"a - b": "a + b"}}]
)
@pytest.mark.parametrize("since", ["Python 99.0", "NumPy 99.0", "no-such-thing 1.0"])
def test_another_text_or_an_earlier_release_is_not_touched(shop, options, since):
    Patch("shop:sum_of", **options, **WORDS | {"since": since}).enable()
    assert importlib.import_module(shop).sum_of(3, 1) == 4


def test_of_the_modules_of_a_zip_file_only_the_named_one_is_patched(loaded_modules):
    with zipfile.ZipFile(loaded_modules / "shops.zip", "w") as file:
        for name in ("shop", "other_shop"):
            file.writestr(f"{name}.py", SOURCE.replace("missing()", "1"))
    sys.path.insert(0, str(loaded_modules / "shops.zip"))
    try:
        Patch("shop:sum_of", replace={"a - b": "a + b"}, applies=lambda: True, **WORDS).enable()
        assert importlib.import_module("shop").sum_of(3, 1) == 8
        assert importlib.import_module("other_shop").sum_of(3, 1) == 4
    finally:
        del sys.path[0]


def test_a_function_without_its_source_is_not_touched(shop, loaded_modules):
    py_compile.compile(str(loaded_modules / "shop.py"), str(loaded_modules / "shop.pyc"))
    (loaded_modules / "shop.py").unlink()
    Patch("shop:sum_of", replace={"a - b": "a + b"}, applies=lambda: True, **WORDS).enable()
    assert importlib.import_module(shop).sum_of(3, 1) == 4


@pytest.mark.parametrize("since", ["Python 3.10", "NumPy 1.26 or so"])
def test_the_release_of_since_and_later_ones_are_patched(shop, since):
    Patch("shop:sum_of", replace={"a - b": "a + b"}, **WORDS | {"since": since}).enable()
    assert importlib.import_module(shop).sum_of(3, 1) == 8


def test_a_setting_of_the_user_stays(monkeypatch):
    monkeypatch.setenv("CHAINFPN_TEST_SETTING", "user")
    Setting("CHAINFPN_TEST_SETTING", value="ours", applies=lambda: True, **WORDS).enable()
    assert os.environ["CHAINFPN_TEST_SETTING"] == "user"


@pytest.mark.parametrize("applies", [True, False])
def test_a_setting_is_made_where_it_applies(monkeypatch, applies):
    monkeypatch.setenv("CHAINFPN_TEST_SETTING", "to be forgotten afterwards")
    del os.environ["CHAINFPN_TEST_SETTING"]
    Setting("CHAINFPN_TEST_SETTING", value="ours", applies=lambda: applies, **WORDS).enable()
    assert os.environ.get("CHAINFPN_TEST_SETTING") == ("ours" if applies else None)


@pytest.fixture
def loads(monkeypatch, loaded_modules):
    """Give the list of the libraries that are loaded; the loader itself finds none but libknown.so."""
    calls = []

    def load(name):
        if name != "libknown.so" and not os.path.exists(name):
            raise OSError(f"{name}: cannot open shared object file")
        calls.append(name)

    monkeypatch.setattr("ctypes.CDLL", load)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    for file in ("cupy/__init__.py", "nvidia/some/lib/libknown.so", "nvidia/some/lib/libwheel.so"):
        path = loaded_modules / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return calls


def test_a_library_that_the_loader_knows_is_not_taken_from_a_wheel(loads):
    Library("libknown.so", **WORDS).enable()
    assert loads == ["libknown.so"]


def test_a_library_that_the_loader_misses_is_taken_from_a_wheel(loads, loaded_modules):
    Library("libwheel.so", **WORDS).enable()
    assert loads == [str(loaded_modules / "nvidia/some/lib/libwheel.so")]


def test_a_library_that_nobody_has_is_left_to_cupy(loads):
    Library("libnowhere.so", **WORDS).enable()
    assert loads == []


def test_without_cupy_no_library_is_loaded(loads, loaded_modules):
    (loaded_modules / "cupy" / "__init__.py").unlink()
    (loaded_modules / "cupy").rmdir()
    importlib.invalidate_caches()
    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    Library("libwheel.so", **WORDS).enable()
    assert loads == []


def test_only_the_named_warning_is_ignored():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WarningFilter("old news", category=DeprecationWarning, module="some_module", **WORDS).enable()
        warnings.warn_explicit("old news, again", DeprecationWarning, "f.py", 1, module="some_module")
        warnings.warn_explicit("fresh news", DeprecationWarning, "f.py", 2, module="some_module")
        warnings.warn_explicit("old news", DeprecationWarning, "f.py", 3, module="another_module")
    assert [warning.lineno for warning in caught] == [2, 3]


def test_every_shim_says_what_since_when_and_for_whom():
    assert len({shim.name for shim in TABLE}) == len(TABLE)
    for shim in TABLE:
        assert shim.name
        assert shim.since
        assert shim.needed_by
        assert shim.stand_in
