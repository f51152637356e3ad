"""The way back to the framework whose rules a model is under: its names, its place of the background."""

from weights_convert import param_names
from weights_convert.config_settings import detectron2_settings
from weights_convert.layouts import FOREIGN_RULES, find_own_names
from weights_convert.matching import Match


def restore_names(match: Match) -> None:
    """Give the tensors of a match the names and the numbers that the framework has, whose rules the model is under.

    A model under torchvision's rules, or one that its framework does not have, keeps torchvision's.

    Args:
        match (Match): What will be written; changed.
    """
    rules, report = match.report.arguments.get("rules"), match.report
    tensors = {param_names.to_torch(name): tensor for name, tensor in match.tensors.items()}
    found = find_own_names(rules, tensors)
    if found is None:
        if rules in FOREIGN_RULES:
            report.notes.append(f"written with torchvision's names: there is no such model under the rules of {rules}")
        return
    layout, own = found
    for undo in layout.undo:
        tensors = undo(tensors, report)
    report.notes.append(f"written with the names of {layout.name}")
    settings = detectron2_settings(report.arguments) if rules == "detectron2" else []
    report.notes += [f"its configuration has to say: {', '.join(settings)}"] if settings else []
    for name in match.tensors:
        torch_name = param_names.to_torch(name)
        match.tensors[name], match.torch_names[name] = tensors[torch_name], own[torch_name]
        report.mapped[name][1] = list(tensors[torch_name].shape)
