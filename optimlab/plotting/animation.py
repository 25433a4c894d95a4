"""A race as a film: the figure drawn step by step, as a GIF by Pillow or an MP4 by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from ..common.errors import InputError
from ..common.files import write_atomically
from ..race.run import Race
from ..race.words import conditions, sentence
from .comparison import PALETTE
from .race import GROUND, WIDTH, drawing, footnote, headline, key, last_step, legible

FRAMES, DPI, HOLD = 80, 80, 3.0
"""At most so many frames, so many dots per inch, and seconds the last frame stays."""

RATE = 12
"""Frames a second."""


def shown_steps(race: Race) -> list[int]:
    """Return the step that each frame shows: every step at first, where most happens, then fewer and fewer."""
    last = last_step(race)
    at = last * np.linspace(0, 1, FRAMES) ** 1.8
    return sorted({round(k) for k in at} | set(range(min(last, 12) + 1)))


def frames(race: Race, advance: Callable[[str], None] = lambda note: None) -> list[NDArray[np.uint8]]:
    """Draw the pictures, each of shape ``(height, width, 3)``. What does not change is drawn once."""
    race = legible(race)
    figure, panels, show = drawing(race)
    figure.set_dpi(DPI)
    title = headline(figure)
    footnote(figure, f"{conditions(race)} {key(race)}")
    canvas: Any = FigureCanvasAgg(figure)
    marks = [line for panel in panels for line in panel.lines if line.get_zorder() > 3]  # stay above the paths
    changing = sorted([*show(0), *marks, title], key=lambda artist: artist.get_zorder())
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    steps = shown_steps(race)
    made = []
    for step in steps:
        canvas.restore_region(still)
        show(step)
        told = f"{race.landscape.title}: step {step}"
        title.set_text(told if step < steps[-1] else fill(sentence(race), WIDTH))
        for artist in changing:
            figure.draw_artist(artist)
        made.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        advance(f"step {step}")
    return made


def palette() -> Image.Image:
    """Return the figure's colours, pure and paler. If they were chosen by frequency, thin lines would lose theirs."""
    shades = [share * np.array(to_rgb(colour)) + 1 - share for colour in PALETTE for share in (1, 0.8, 0.6, 0.4, 0.2)]
    shades += [np.array(GROUND(k)[:3]) for k in range(GROUND.N)]
    shades += [np.full(3, level) for level in np.linspace(0, 1, 24)]
    made = Image.new("P", (1, 1))
    made.putpalette(np.rint(255 * np.array(shades)).astype(np.uint8).tobytes())
    return made


def write_gif(pictures: list[NDArray[np.uint8]], path: Path) -> None:
    """Write an animation that repeats, in colours shared by all frames.

    Raises
    ------
    InputError: the file cannot be written.
    """
    images = [Image.fromarray(picture) for picture in pictures]
    colours = palette()
    reduced = [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images]
    durations = [1000 // RATE] * (len(images) - 1) + [int(1000 * HOLD)]
    content = BytesIO()
    reduced[0].save(content, "GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0)
    write_atomically(path, content.getvalue())


def write_mp4(pictures: list[NDArray[np.uint8]], path: Path) -> bool:
    """Write the animation as a film if ffmpeg is installed, and return whether it is.

    Raises
    ------
    InputError: ffmpeg failed, or the file cannot be written.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return False
    height, width, _ = pictures[0].shape
    told = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    even = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    held = [pictures[-1]] * int(RATE * HOLD)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "race.mp4"
        ran = subprocess.run(
            [ffmpeg, "-v", "error", *told, *even, str(made)],
            input=b"".join(picture.tobytes() for picture in (*pictures, *held)),
            capture_output=True,
        )
        if ran.returncode:
            reason = ran.stderr.decode(errors="replace").strip().splitlines()
            raise InputError(f"ffmpeg cannot make {path}: {reason[-1] if reason else f'exit code {ran.returncode}'}")
        write_atomically(path, made.read_bytes())
    return True
