"""The ids that COCO gives its classes."""

#: The 80 of torchvision's 91 outputs that have a name.
COCO_CLASS_IDS = tuple(i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
