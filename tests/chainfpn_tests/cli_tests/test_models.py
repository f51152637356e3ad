import json

from chainfpn import models
from chainfpn.cli.main import main


def test_every_model_has_a_line(capsys):
    assert main(["models"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("model ")
    assert [line.split()[0] for line in lines] == models.list_models()


def test_a_line_has_what_the_registry_has(capsys):
    assert main(["models", "--family", "mask_rcnn"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines)[1:] == models.list_models("mask_rcnn")
    line = lines["maskrcnn_resnet50_fpn"]
    assert line.split(maxsplit=2)[1] == "mask_rcnn"
    assert "  bboxes, labels, scores, masks  " in line
    assert line.endswith("COCO_V1 box 37.9 mask 34.6")
    assert lines["maskrcnn_resnet_fpn"].endswith("  bboxes, labels, scores, masks")  # nothing is published


def test_json(capsys):
    assert main(["models", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in records] == models.list_models()
    (record,) = [record for record in records if record["name"] == "resnet50"]
    assert (record["family"], record["returns"]) == ("resnet", ["scores"])
    assert record["weights"].keys() == models.list_weights("resnet50").keys()
    assert record["weights"]["IMAGENET1K_V2"]["figures"] == {"top1": 80.858}
    assert record["weights"]["IMAGENET1K_V2"]["url"].endswith(f"-{record['weights']['IMAGENET1K_V2']['sha256']}.pth")


def test_json_goes_to_a_file_beside_the_table(capsys, tmp_path):
    assert main(["models", "--json", str(tmp_path / "models.json")]) == 0
    assert capsys.readouterr().out.startswith("model ")
    assert len(json.loads((tmp_path / "models.json").read_text())) == len(models.list_models())
