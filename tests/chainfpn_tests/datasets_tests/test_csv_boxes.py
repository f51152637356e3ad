"""Tables as spreadsheets and tools write them: the right box each, or a sentence."""

import pytest

from chainfpn.datasets import CSVDataset, DataError, open_dataset
from reference.small_files import picture

HEAD, ROW = "filename,width,height,class,xmin,ymin,xmax,ymax\n", "0.jpg,96,64,cell,1,2,21,12\n"


def table(folder, content, encoding="utf-8", image="0.jpg"):
    picture(folder / image)
    (folder / "x.csv").write_bytes(content.encode(encoding))
    return folder


DIALECTS = {
    "semicolons": (HEAD + ROW).replace(",", ";"),
    "tabs": (HEAD + ROW).replace(",", "\t"),
    "a comma for the point": HEAD.replace(",", ";") + "0.jpg;96;64;cell;1,0;2,0;21,0;12,0\n",
    "quotes": HEAD + '"0.jpg","96","64","cell","1","2","21","12"\n',
    "blanks": (HEAD + ROW).replace(",", ", "),
    "capitals": HEAD.title() + ROW,
    "Windows": (HEAD + ROW).replace("\n", "\r\n"),
    "no end": (HEAD + ROW).rstrip(),
    "empty lines": f"{HEAD}\n{ROW}\n,,,,,,,\n",
    "more cells": HEAD + ROW.strip() + ",more,cells\n",
    "no size": HEAD + ROW.replace("96,64", "?,inf"),
}


@pytest.mark.parametrize("content", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect(content, tmp_path):
    data = open_dataset(table(tmp_path, content))
    assert isinstance(data, CSVDataset)
    assert (len(data), data.label_names, dict(data.left_out.counts)) == (1, ("cell",), {})
    assert data[0][1].tolist() == [[2, 1, 12, 21]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_encoding_with_a_mark(encoding, tmp_path):
    assert open_dataset(table(tmp_path, HEAD + ROW.replace("cell", "Käfer"), encoding)).label_names == ("Käfer",)


def test_a_name_with_a_comma(tmp_path):
    data = open_dataset(table(tmp_path, HEAD + ROW.replace("0.jpg", '"my, photo.jpg"'), image="my, photo.jpg"))
    assert data[0][1].tolist() == [[2, 1, 12, 21]]


def test_a_bad_line_costs_the_line(tmp_path):
    lines = [ROW, ROW.replace("12\n", "1e39\n"), ROW.replace("0.jpg", ""), "0.jpg,96,64\n"]
    data = open_dataset(table(tmp_path, HEAD + "".join(lines)))
    assert [bbox.shape for _, bbox, _ in data] == [(1, 4)]
    assert data.left_out.counts == {"lines that are no object": 1, "lines without an image": 1}


@pytest.mark.parametrize("head", [HEAD, HEAD.upper(), HEAD.replace(",", " , ")])
def test_the_size_is_compared_whatever_its_column_looks_like(head, tmp_path):
    data = open_dataset(table(tmp_path, head + ROW.replace("96", "90")))
    with pytest.raises(DataError, match=r"0\.jpg: must be 64x90 pixels high and wide as annotated, got \(64, 96\)"):
        data[0]


WRONG = {
    "one file for two images": (
        f"{HEAD}a/{ROW}b/{ROW}",
        r"two of its images have one file, .*\('a/0.jpg' and 'b/0.jpg'\)",
    ),
    "heads alone": (HEAD, r"x\.csv: has no image"),
    "nothing": ("", r"x\.csv: has no column filename"),
    "no heads": (ROW, r"x\.csv: has no column filename"),
    "a column that is not there": ((HEAD + ROW).replace("ymax", "h"), r"x\.csv: has no column ymax"),
    "a cell without an end": (f"{HEAD}{'1' * 200000}\n", r"x\.csv: is not CSV \(field larger"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        open_dataset(table(tmp_path, content) / "x.csv")


def test_a_table_that_is_no_unicode(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv: is not a text file in UTF-8"):
        open_dataset(table(tmp_path, HEAD + ROW.replace("cell", "Käfer"), "latin-1") / "x.csv")
