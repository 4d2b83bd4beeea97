"""The share of solved sessions over the afternoon as an SVG, without any package."""

from pathlib import Path


def plot(seen, file, window=100):
    """Write the share of solved sessions over the afternoon: with lessons, and in the control without them."""
    lines = []
    for name, colour in (("served", "#06c"), ("control", "#999")):
        mine = [(i, ok) for i, (arm, ok) in enumerate(seen) if (arm == "control") == (name == "control")]
        recent = [[ok for _, ok in mine[max(0, i - window) : i + 1]] for i in range(len(mine))]
        means = [(mine[i][0], sum(r) / len(r)) for i, r in enumerate(recent) if i >= 20]
        points = " ".join(f"{60 + 520 * i / len(seen):.1f},{260 - 220 * y:.1f}" for i, y in means)
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
    texts = (
        (8, 45, "100%", "#333"),
        (20, 263, "0%", "#333"),
        (420, 60, "served", "#06c"),
        (420, 250, "control", "#666"),
    )
    lines += [f'<text x="{x}" y="{y}" fill="{colour}">{text}</text>' for x, y, text, colour in texts]
    lines.append('<path d="M60 40V260H580" fill="none" stroke="#333"/>')
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 300" font-size="14">'
    Path(file).write_text(f"{head}{''.join(lines)}</svg>\n", encoding="utf-8")
