"""Every colour that text, states and borders have can be told from what is behind it, and states from one another.

WCAG 2.2: 4.5 : 1 for text (1.4.3), 3 : 1 for edges of controls, shapes of states and the ring of the focus (1.4.11).
Sight without one kind of cones: Machado, Oliveira and Fernandes, 2009, severity 1.
"""

import re
from itertools import combinations, product
from pathlib import Path

import pytest

import linkerd_tcp.dashboard

STATIC = Path(linkerd_tcp.dashboard.__file__).parent / "static"
PAGE = (STATIC / "page.css").read_text()

TEXTS = ("text", "muted", "good", "warn", "bad", "off")
SHAPES = ("edge", "good", "warn", "bad", "off")
GROUNDS = ("ground", "surface")
STATES = ("good", "warn", "bad", "off")
TEXT_RATIO, SHAPE_RATIO = 4.5, 3.0
TOLD_APART = 20.0
"""In CIE Lab, 1976; below that two states look alike at a glance. Each has a shape and a word besides."""

SIGHTS = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}

Linear = tuple[float, float, float]


def palette(head: str) -> dict[str, str]:
    """The variables of the block that begins with `head`."""
    (block,) = re.findall(re.escape(head) + r" \{([^}]*)\}", PAGE)
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))


LIGHT = palette(":root")
DARK = palette(':root[data-theme="dark"]')
SCHEMES = {"light": LIGHT, "dark": DARK}
schemes = pytest.mark.parametrize("colours", SCHEMES.values(), ids=SCHEMES)


def linear(colour: str) -> Linear:
    def channel(start: int) -> float:
        value = int(colour[start : start + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return channel(1), channel(3), channel(5)


def luminance(colour: Linear) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(linear(one)), luminance(linear(other))))
    return (lighter + 0.05) / (darker + 0.05)


def seen(colour: str, sight: str) -> Linear:
    red, green, blue = (
        min(max(sum(a * b for a, b in zip(row, linear(colour), strict=True)), 0.0), 1.0) for row in SIGHTS[sight]
    )
    return red, green, blue


def lab(colour: Linear) -> Linear:
    red, green, blue = colour
    white = (0.95047, 1.0, 1.08883)
    x, y, z = (
        each / of
        for each, of in zip(
            (
                0.4124 * red + 0.3576 * green + 0.1805 * blue,
                0.2126 * red + 0.7152 * green + 0.0722 * blue,
                0.0193 * red + 0.1192 * green + 0.9505 * blue,
            ),
            white,
            strict=True,
        )
    )

    def root(value: float) -> float:
        return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116

    return 116 * root(y) - 16, 500 * (root(x) - root(y)), 200 * (root(y) - root(z))


def distance(one: str, other: str, sight: str) -> float:
    pairs = zip(lab(seen(one, sight)), lab(seen(other, sight)), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def test_the_measures_are_those_of_the_rule() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert lab(linear("#ffffff"))[0] == pytest.approx(100)
    assert distance("#000000", "#ffffff", "all cones") == pytest.approx(100, abs=0.1)
    assert distance("#ff0000", "#00ff00", "no red") < distance("#ff0000", "#00ff00", "all cones") / 1.5


@schemes
def test_text_can_be_read_on_every_ground(colours: dict[str, str]) -> None:
    ratios = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in product(TEXTS, GROUNDS)}
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < TEXT_RATIO} == {}


@schemes
def test_edges_shapes_and_the_focus_are_seen_on_every_ground(colours: dict[str, str]) -> None:
    ratios = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in product(SHAPES, GROUNDS)}
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < SHAPE_RATIO} == {}


@schemes
@pytest.mark.parametrize("sight", SIGHTS)
def test_states_are_told_apart_by_colour_too_with_whatever_cones(colours: dict[str, str], sight: str) -> None:
    apart = {pair: distance(colours[pair[0]], colours[pair[1]], sight) for pair in combinations(STATES, 2)}
    assert {pair: round(how, 1) for pair, how in apart.items() if how < TOLD_APART} == {}


def test_both_ways_to_the_dark_have_the_same_colours() -> None:
    assert palette(':root:not([data-theme="light"])') == DARK
    assert set(DARK) == set(LIGHT)


@pytest.mark.parametrize("sheet", sorted(STATIC.glob("*.css")), ids=lambda sheet: sheet.name)
def test_no_colour_is_named_but_as_one_of_these(sheet: Path) -> None:
    """Or nobody would see what it is like on the other ground."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
    text = re.sub(r"--[a-z]+: #[0-9a-f]{6};", "", text) if sheet.name == "page.css" else text
    found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{}]*\{)|(?:rgb|hsl|oklch)a?\([^)]*\)", text)
    assert [each for each in found if each != "rgb(0 0 0 / 45%)"] == [], "the shade behind a question is neither"
    used = set(re.findall(r"var\(--([a-z]+)\)", text))
    assert used <= set(LIGHT), sheet.name
