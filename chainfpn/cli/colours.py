"""Colours of labels."""

Colour = tuple[int, int, int]

#: Spread as far in CIELAB as 80 colours of some lightness and chroma can be: no two are closer than 21 there, or 33 in
#: RGB. Each is the farthest from those before it, so that few classes differ most.
_CODES = """
2df04b 870fff ff0f00 00b4f0 786900 ff69b4 96ffd2 ffe100 695ac3 ffb4a5 007869 ff960f 0f7800 c31e3c c300c3 ffc3ff
d2f087 964b87 96c300 1ec369 87b478 a5ff00 d278ff 1e4bff a54b2d ff694b b4a50f ff7887 00ffff b4c3ff c35a00 a5784b
ff0069 c31e96 ff00ff 3c69b4 b44bff 1e874b 00a5b4 b44b69 ffe178 ff003c 0078ff ff0096 698700 b4ff69 a587c3 c31e00
e187b4 ffb45a e187e1 0078a5 00ffc3 5aa5ff 2dc396 78e1ff 69783c 00ff96 ff00c3 963cb4 c30f69 a596ff 96ffa5 b47800
78c34b b4b45a ff6900 f0b400 e1f0b4 00a50f ff69e1 8769ff ff9669 d2f000 f0c387 00ff00 f0f05a 78d2c3 69d20f c37878
"""
PALETTE: tuple[Colour, ...] = tuple(
    (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in _CODES.split()
)

#: Lightness of one instance of a class after the other: as it is, darker, lighter.
_SHADES = (0.0, -0.3, 0.35)


def colour_of(label: int) -> Colour:
    """Return the colour of a label; they come again after 80."""
    return PALETTE[label % len(PALETTE)]


def shade(colour: Colour, instance: int) -> Colour:
    """Return the colour of one instance of a class: so that neighbours differ."""
    amount = _SHADES[instance % len(_SHADES)]
    target = 255 if amount > 0 else 0
    red, green, blue = (round(value + (target - value) * abs(amount)) for value in colour)
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever is easier to read on a colour."""
    luminance = (0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]) / 255
    return (0, 0, 0) if luminance > 0.45 else (255, 255, 255)
