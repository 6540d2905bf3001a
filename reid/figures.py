"""People-like figures: an identity is its clothes, build, hair and bag; a pose is one moment of it."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from math import cos, sin
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SKINS: tuple[Colour, ...] = ((245, 214, 186), (224, 178, 140), (198, 140, 98), (150, 98, 64), (98, 62, 42))
HAIRS: tuple[Colour, ...] = ((28, 24, 22), (66, 42, 26), (122, 78, 40), (206, 170, 102), (150, 150, 150), (140, 50, 30))
STYLES = ("short", "short", "long", "bun", "bald", "cap")
PATTERNS = ("plain", "plain", "hoops", "stripes", "checks", "dots", "halves", "jacket", "print")
BOTTOMS = ("trousers", "trousers", "shorts", "skirt")
BAGS = ("none", "none", "backpack", "shoulder", "hand")
VIEWS = ("front", "back", "side")


@dataclass(frozen=True)
class Identity:
    """What stays the same in every picture of one person. Lengths are fractions of the person's height."""

    skin: Colour
    hair: Colour
    style: str
    top: Colour
    trim: Colour
    pattern: str
    long_sleeves: bool
    bottom: Colour
    bottom_kind: str
    shoes: Colour
    bag: str
    bag_colour: Colour
    height: float
    girth: float
    hip: float


@dataclass(frozen=True)
class Pose:
    """One moment: the view, how far the legs and arms swing (radians), which way a side view looks, and the lean."""

    view: str
    stride: float
    swing: float
    mirrored: bool
    lean: float


def draw_identity(rng: Random) -> Identity:
    """A random person."""
    return Identity(
        skin=rng.choice(SKINS),
        hair=rng.choice(HAIRS),
        style=rng.choice(STYLES),
        top=_cloth(rng),
        trim=_cloth(rng),
        pattern=rng.choice(PATTERNS),
        long_sleeves=rng.random() < 0.6,
        bottom=_cloth(rng, muted=rng.random() < 0.6),
        bottom_kind=rng.choice(BOTTOMS),
        shoes=_cloth(rng, muted=True),
        bag=rng.choice(BAGS),
        bag_colour=_cloth(rng),
        height=rng.uniform(0.86, 1.0),
        girth=rng.uniform(0.8, 1.3),
        hip=rng.uniform(0.48, 0.54),
    )


def draw_pose(rng: Random) -> Pose:
    """A random pose of a person walking or standing."""
    return Pose(
        view=rng.choice(VIEWS),
        stride=rng.uniform(0.0, 0.4),
        swing=rng.uniform(-0.5, 0.5),
        mirrored=rng.random() < 0.5,
        lean=rng.uniform(-0.04, 0.04),
    )


def _cloth(rng: Random, muted: bool = False) -> Colour:
    """A colour of clothes; muted ones are greys, blacks, denims and browns."""
    saturation = rng.uniform(0.0, 0.35) if muted else rng.uniform(0.3, 1.0)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.1, 0.95))
    return round(255 * red), round(255 * green), round(255 * blue)


def paint(canvas: Image.Image, person: Identity, pose: Pose, feet: Point, height: float) -> None:
    """Paint ``person`` onto ``canvas``, feet at ``feet`` (pixels), a full-grown one ``height`` pixels tall."""
    _Figure(canvas, person, pose, feet, height).paint()


class _Figure:
    """One person in one pose; points are given in body units: x from the middle, y from 0 (crown) to 1 (soles)."""

    def __init__(self, canvas: Image.Image, person: Identity, pose: Pose, feet: Point, height: float) -> None:
        self.canvas, self.draw = canvas, ImageDraw.Draw(canvas)
        self.person, self.pose, self.feet, self.height = person, pose, feet, height * person.height
        turn = 0.62 if pose.view == "side" else 1.0  # seen from the side a body is narrower
        self.shoulder, self.waist = 0.125 * person.girth * turn, 0.095 * person.girth * turn
        self.side = -1 if pose.mirrored else 1

    def paint(self) -> None:
        behind = self.pose.view == "front"
        if self.person.bag == "backpack" and behind:
            self._box(self.person.bag_colour, -self.shoulder * 1.1, 0.2, self.shoulder * 1.1, 0.44)
        self._arm(-1)
        self._legs()
        self._torso()
        self._arm(1)
        self._bag()
        self._head()

    def at(self, x: float, y: float) -> Point:
        lean = self.pose.lean * (1 - y)
        return self.feet[0] + (x + lean) * self.height, self.feet[1] + (y - 1) * self.height

    def _box(self, colour: Colour, x0: float, y0: float, x1: float, y1: float) -> None:
        radius = 0.02 * self.height
        self.draw.rounded_rectangle((*self.at(x0, y0), *self.at(x1, y1)), radius, fill=colour)

    def _limb(self, colour: Colour, start: Point, end: Point, thickness: float) -> None:
        width = max(1, round(thickness * self.person.girth * self.height))
        self.draw.line((*self.at(*start), *self.at(*end)), fill=colour, width=width)
        for point in (start, end):
            x, y = self.at(*point)
            self.draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)

    def _legs(self) -> None:
        person, hip, length = self.person, self.person.hip, 0.96 - self.person.hip
        bare = {"trousers": 1.0, "shorts": 0.45, "skirt": 0.0}[person.bottom_kind]
        for side in (-1, 1):
            root = (side * self.waist * 0.5, hip)
            angle = side * (self.pose.stride if self.pose.view == "side" else 0.06 + self.pose.stride * 0.15)
            tip = (root[0] + sin(angle) * length, hip + cos(angle) * length)
            knee = (root[0] + (tip[0] - root[0]) * bare, hip + (tip[1] - hip) * bare)
            self._limb(person.skin, root, tip, 0.055)
            if bare:
                self._limb(person.bottom, root, knee, 0.075)
            self._limb(person.shoes, tip, (tip[0] + self.side * 0.03, 0.975), 0.04)
        if person.bottom_kind == "skirt":
            flare = self.waist * 1.5
            corners = [(-self.waist, hip - 0.03), (self.waist, hip - 0.03), (flare, hip + 0.22), (-flare, hip + 0.22)]
            self.draw.polygon([self.at(*corner) for corner in corners], fill=person.bottom)

    def _arm(self, side: int) -> None:
        person = self.person
        shoulder = (side * self.shoulder * 0.95, 0.2)
        angle = side * 0.12 + self.pose.swing * (side if self.pose.view == "side" else 0.3)
        hand = (shoulder[0] + sin(angle) * 0.33, shoulder[1] + cos(angle) * 0.33)
        self._limb(person.skin, shoulder, hand, 0.045)
        reach = 0.9 if person.long_sleeves else 0.4
        cuff = (shoulder[0] + (hand[0] - shoulder[0]) * reach, shoulder[1] + (hand[1] - shoulder[1]) * reach)
        self._limb(person.trim if person.pattern == "halves" else person.top, shoulder, cuff, 0.06)
        if person.bag == "hand" and side == self.side:
            self._box(person.bag_colour, hand[0] - 0.06, hand[1], hand[0] + 0.06, hand[1] + 0.12)

    def _torso(self) -> None:
        hip = self.person.hip + 0.02
        outline = [(-self.shoulder, 0.17), (self.shoulder, 0.17), (self.waist * 1.05, hip), (-self.waist * 1.05, hip)]
        mask = Image.new("1", self.canvas.size)
        ImageDraw.Draw(mask).polygon([self.at(*corner) for corner in outline], fill=1)
        self._limb(self.person.skin, (0, 0.13), (0, 0.17), 0.05)
        cloth = Image.new("RGB", self.canvas.size, self.person.top)
        self._pattern(ImageDraw.Draw(cloth))
        self.canvas.paste(cloth, mask=mask)

    def _pattern(self, draw: ImageDraw.ImageDraw) -> None:
        """Hoops, stripes and checks show from all sides; a print, an open jacket only where they are worn."""
        pattern, trim = self.person.pattern, self.person.trim
        rows, columns = (0.2, 0.27, 0.34, 0.41, 0.48), (-0.12, -0.06, 0.0, 0.06, 0.12)
        if pattern in ("hoops", "checks"):
            for y in rows:
                draw.rectangle((*self.at(-0.3, y), *self.at(0.3, y + 0.03)), fill=trim)
        if pattern in ("stripes", "checks"):
            for x in columns:
                draw.rectangle((*self.at(x - 0.012, 0.1), *self.at(x + 0.012, 0.6)), fill=trim)
        if pattern == "dots":
            for x, y in ((x, y) for x in columns for y in rows):
                draw.ellipse((*self.at(x - 0.016, y - 0.016), *self.at(x + 0.016, y + 0.016)), fill=trim)
        if pattern == "halves":
            draw.rectangle((*self.at(-0.3, 0.1), *self.at(0.3, 0.32)), fill=trim)
        if pattern == "jacket" and self.pose.view != "back":
            middle = 0.0 if self.pose.view == "front" else self.side * self.shoulder * 0.8
            draw.rectangle((*self.at(middle - 0.035, 0.1), *self.at(middle + 0.035, 0.6)), fill=trim)
        if pattern == "print" and self.pose.view == "front":
            draw.ellipse((*self.at(-0.06, 0.22), *self.at(0.06, 0.34)), fill=trim)

    def _bag(self) -> None:
        person, view = self.person, self.pose.view
        if person.bag == "backpack" and view == "front":
            for side in (-1, 1):
                self._limb(person.bag_colour, (side * 0.06, 0.18), (side * 0.07, 0.36), 0.014)
        elif person.bag == "backpack":
            x0, x1 = (-0.09, 0.09) if view == "back" else sorted((-self.side * 0.03, -self.side * 0.16))
            self._box(person.bag_colour, x0, 0.19, x1, 0.43)
        elif person.bag == "shoulder":
            self._limb(person.bag_colour, (-self.side * self.shoulder * 0.7, 0.18), (self.side * 0.1, 0.44), 0.016)
            self._box(person.bag_colour, *sorted_box(self.side * 0.05, 0.42, self.side * 0.17, 0.54))

    def _head(self) -> None:
        person, (x, y), radius = self.person, self.at(0, 0.075), 0.062 * self.height
        wide = radius * 0.85
        if person.style == "long":
            self._box(person.hair, -0.06, 0.05, 0.06, 0.19)
        if person.style == "bun":
            bun = self.at(0, 0.005)
            self.draw.ellipse((bun[0] - wide / 2, bun[1] - wide / 2, bun[0] + wide / 2, bun[1] + wide / 2), person.hair)
        face = person.hair if self.pose.view == "back" and person.style not in ("bald", "cap") else person.skin
        self.draw.ellipse((x - wide, y - radius, x + wide, y + radius), fill=face)
        if person.style != "bald":
            colour = person.bag_colour if person.style == "cap" else person.hair
            self.draw.pieslice((x - wide, y - radius, x + wide, y + radius), 180, 360, fill=colour)
        if person.style == "cap" and self.pose.view != "back":
            self._limb(person.bag_colour, (0, 0.07), (self.side * 0.07, 0.07), 0.014)
        if self.pose.view == "back" and person.style == "long":
            self._box(person.hair, -0.06, 0.05, 0.06, 0.2)


def sorted_box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """The box with its corners in the order that a rectangle is drawn in."""
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
