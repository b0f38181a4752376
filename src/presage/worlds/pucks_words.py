"""What the nine tasks with pucks ask for: every colour goes with every place."""

COLOURS = ("blue", "yellow", "green")
PLACES = ("left", "middle", "right")
"""As the robot sees it."""

PUCKS: dict[str, tuple[str, ...]] = {
    f"pucks-{colour}-{place}": (
        f"push the {colour} puck onto the {place} mark",
        f"move the {colour} puck to the {place} mark",
        f"slide the {colour} disc onto the {place} spot",
        f"bring the {colour} puck to the spot in the {place}",
        f"put the {colour} disc on the {place} mark",
    )
    for colour in COLOURS
    for place in PLACES
}
