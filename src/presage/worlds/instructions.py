"""What each task asks for, in words; the simulators themselves ship no language.

The first wording of a task is the canonical one; the rest are paraphrases for training and for testing robustness.
This module is light: it knows the task names, and the world of each, without importing a simulator.
"""

from difflib import get_close_matches

import numpy as np

from presage.errors import UserError

METAWORLD: dict[str, tuple[str, ...]] = {
    "assembly-v3": (
        "put the ring onto the peg",
        "place the round nut over the peg",
        "assemble the ring and the peg",
        "pick up the ring by its handle and slide it onto the peg",
        "lower the wrench ring over the post",
    ),
    "basketball-v3": (
        "put the basketball through the hoop",
        "dunk the ball into the basket",
        "pick up the ball and drop it in the hoop",
        "score a basket with the ball",
        "move the basketball into the net",
    ),
    "bin-picking-v3": (
        "move the block from one bin to the other",
        "pick the object out of the left bin and put it in the right bin",
        "transfer the cube to the other bin",
        "grasp the block and drop it in the second bin",
        "take the object from its bin to the empty one",
    ),
    "box-close-v3": (
        "put the lid on the box",
        "close the box with its lid",
        "cover the box",
        "pick up the lid and place it on the box",
        "shut the box by setting the cover on top",
    ),
    "button-press-topdown-v3": (
        "press the button from above",
        "push the red button down",
        "press down on the button",
        "push the button on top of the box",
        "lower the gripper onto the button until it is pressed",
    ),
    "button-press-topdown-wall-v3": (
        "press the button from above, behind the wall",
        "reach over the wall and push the button down",
        "go over the wall and press down on the red button",
        "push the button on top of the box that stands behind the wall",
        "press the button from the top without hitting the wall",
    ),
    "button-press-v3": (
        "press the button on the front of the box",
        "push the red button in",
        "push the button forward",
        "press the button straight into the box",
        "move the gripper forward until the button is pressed",
    ),
    "button-press-wall-v3": (
        "press the button on the front of the box, behind the wall",
        "reach around the wall and push the button in",
        "go over the wall and press the red button forward",
        "push the button that stands behind the wall",
        "press the button into the box without hitting the wall",
    ),
    "coffee-button-v3": (
        "press the button of the coffee machine",
        "start the coffee machine",
        "push the coffee maker's button",
        "turn the coffee machine on with its button",
        "brew a coffee by pressing the button",
    ),
    "coffee-pull-v3": (
        "pull the mug away from the coffee machine",
        "take the mug from the coffee machine to the goal",
        "drag the cup out of the coffee maker",
        "move the coffee mug away from the machine to the marker",
        "bring the cup from the machine to the green marker",
    ),
    "coffee-push-v3": (
        "push the mug under the coffee machine",
        "put the cup in the coffee machine",
        "slide the mug to the coffee maker",
        "move the coffee mug under the spout",
        "bring the cup to the coffee machine",
    ),
    "dial-turn-v3": (
        "turn the dial",
        "rotate the dial half a turn",
        "twist the knob",
        "spin the dial with the gripper",
        "rotate the knob on the table",
    ),
    "disassemble-v3": (
        "take the ring off the peg",
        "lift the round nut off the peg",
        "remove the ring from the post",
        "disassemble the ring and the peg",
        "pull the wrench ring up from the peg",
    ),
    "door-close-v3": (
        "close the door",
        "push the door shut",
        "shut the cabinet door",
        "swing the open door closed",
        "move the door until it is closed",
    ),
    "door-lock-v3": (
        "lock the door",
        "turn the lock to close it",
        "rotate the lock of the door down",
        "turn the door's latch to lock it",
        "set the door lock to locked",
    ),
    "door-open-v3": (
        "open the door",
        "pull the door open by its handle",
        "swing the cabinet door open",
        "grab the door handle and pull",
        "open up the safe's door",
    ),
    "door-unlock-v3": (
        "unlock the door",
        "turn the lock to open it",
        "rotate the lock of the door back",
        "turn the door's latch to unlock it",
        "set the door lock to unlocked",
    ),
    "hand-insert-v3": (
        "put the gripper with the block into the hole",
        "insert the hand into the hole of the table",
        "carry the block down into the hole",
        "move the block to the marker inside the hole",
        "lower the hand and the block into the opening",
    ),
    "drawer-close-v3": (
        "close the drawer",
        "push the drawer shut",
        "shut the green drawer",
        "slide the drawer in",
        "push the open drawer back into its case",
    ),
    "drawer-open-v3": (
        "open the drawer",
        "pull the drawer out",
        "pull the drawer open by its handle",
        "slide the green drawer out",
        "grab the drawer's handle and pull it towards you",
    ),
    "faucet-open-v3": (
        "open the faucet",
        "turn the faucet on",
        "rotate the tap open",
        "turn the faucet's handle to open it",
        "let the water run",
    ),
    "faucet-close-v3": (
        "close the faucet",
        "turn the faucet off",
        "rotate the tap shut",
        "turn the faucet's handle to close it",
        "stop the water",
    ),
    "hammer-v3": (
        "hammer the nail into the wall",
        "hit the nail with the hammer",
        "pick up the hammer and drive the nail in",
        "use the hammer to push the nail",
        "knock the nail in with the hammer",
    ),
    "handle-press-side-v3": (
        "press the handle down from the side",
        "push the sideways handle down",
        "press down on the lever that points to the side",
        "push the side handle to the bottom",
        "lower the handle beside the box",
    ),
    "handle-press-v3": (
        "press the handle down",
        "push the handle down",
        "press down on the lever",
        "push the handle to the bottom",
        "lower the handle on the box",
    ),
    "handle-pull-side-v3": (
        "pull the handle up from the side",
        "lift the sideways handle",
        "pull up the lever that points to the side",
        "raise the side handle to the top",
        "lift the handle beside the box",
    ),
    "handle-pull-v3": (
        "pull the handle up",
        "lift the handle",
        "pull up the lever",
        "raise the handle to the top",
        "lift the handle on the box",
    ),
    "lever-pull-v3": (
        "pull the lever up",
        "rotate the lever upwards",
        "raise the lever",
        "lift the lever until it points up",
        "swing the lever to the top",
    ),
    "pick-place-wall-v3": (
        "pick up the puck and bring it over the wall to the goal",
        "carry the puck over the wall to the marker",
        "grasp the blue puck and place it at the green marker behind the wall",
        "lift the puck across the wall to the goal",
        "move the puck to the goal without hitting the wall",
    ),
    "pick-out-of-hole-v3": (
        "pick the block out of the hole",
        "lift the object out of the hole to the marker",
        "take the puck from the hole",
        "grasp the block in the hole and bring it to the goal",
        "remove the object from its hole",
    ),
    "reach-v3": (
        "reach the goal",
        "move the gripper to the green marker",
        "go to the goal",
        "touch the green ball with the gripper",
        "bring the hand to the marker in the air",
    ),
    "push-back-v3": (
        "push the puck back to the goal",
        "pull the puck towards the robot to the marker",
        "drag the blue puck back to the green marker",
        "slide the puck backwards to the goal",
        "bring the puck back to the goal on the table",
    ),
    "push-v3": (
        "push the puck to the goal",
        "slide the puck to the green marker",
        "move the blue puck along the table to the goal",
        "push the blue object to the marker on the table",
        "shove the puck until it is at the goal",
    ),
    "pick-place-v3": (
        "pick up the puck and bring it to the goal",
        "lift the puck to the green marker",
        "grasp the blue puck and place it at the goal",
        "pick the object up and carry it to the marker",
        "take the puck and hold it at the green marker",
    ),
    "plate-slide-v3": (
        "slide the plate into the cabinet",
        "push the plate forward into the goal",
        "slide the puck into the net",
        "move the plate into the opening",
        "push the disc forward into the cabinet",
    ),
    "plate-slide-side-v3": (
        "slide the plate sideways into the cabinet",
        "push the plate to the side into the goal",
        "slide the puck to the left into the net",
        "move the plate sideways into the opening",
        "push the disc left into the cabinet",
    ),
    "plate-slide-back-v3": (
        "slide the plate back out of the cabinet",
        "pull the plate towards the robot to the marker",
        "slide the puck backwards out of the net",
        "get the plate out of the opening",
        "drag the disc back from the cabinet",
    ),
    "plate-slide-back-side-v3": (
        "slide the plate sideways out of the cabinet",
        "pull the plate to the side to the marker",
        "slide the puck to the right out of the net",
        "get the plate sideways out of the opening",
        "drag the disc right from the cabinet",
    ),
    "peg-insert-side-v3": (
        "insert the peg into the hole",
        "put the green peg into the box",
        "pick up the peg and slide it sideways into the hole",
        "plug the stick into the side of the box",
        "insert the green stick into the hole of the block",
    ),
    "peg-unplug-side-v3": (
        "unplug the peg",
        "pull the peg out of the hole",
        "pull the plug sideways out of the box",
        "remove the peg from the block",
        "take the peg out of the wall",
    ),
    "soccer-v3": (
        "kick the ball into the goal",
        "push the soccer ball into the net",
        "score a goal with the ball",
        "roll the football into the goal",
        "shoot the ball into the net",
    ),
    "stick-push-v3": (
        "push the thermos with the stick",
        "pick up the stick and push the bottle to the goal",
        "use the stick to push the box away",
        "shove the thermos to the marker with the stick",
        "grasp the stick and push the flask with it",
    ),
    "stick-pull-v3": (
        "pull the thermos with the stick",
        "pick up the stick and pull the bottle to the goal",
        "use the stick to drag the thermos back",
        "hook the thermos with the stick and pull it to the marker",
        "grasp the stick and pull the flask with it",
    ),
    "push-wall-v3": (
        "push the puck around the wall to the goal",
        "slide the puck past the wall to the green marker",
        "move the blue puck along the table around the wall",
        "push the blue object to the marker behind the wall",
        "shove the puck to the goal without hitting the wall",
    ),
    "reach-wall-v3": (
        "reach the goal behind the wall",
        "move the gripper over the wall to the green marker",
        "go to the goal without hitting the wall",
        "touch the green ball on the other side of the wall",
        "bring the hand across the wall to the marker",
    ),
    "shelf-place-v3": (
        "put the block on the shelf",
        "pick up the block and place it on the shelf",
        "lift the cube onto the shelf",
        "set the object on the shelf",
        "move the block from the table to the shelf",
    ),
    "sweep-into-v3": (
        "sweep the block into the hole",
        "push the cube into the hole of the table",
        "slide the block until it falls into the hole",
        "sweep the object into the opening",
        "move the cube along the table into the hole",
    ),
    "sweep-v3": (
        "sweep the block off the table",
        "push the cube off the table",
        "sweep the object to the side, over the edge",
        "slide the block off the right side of the table",
        "wipe the cube from the table",
    ),
    "window-open-v3": (
        "open the window",
        "slide the window open",
        "push the window's handle to the right",
        "move the window pane aside to open it",
        "open up the sliding window",
    ),
    "window-close-v3": (
        "close the window",
        "slide the window shut",
        "push the window's handle to the left",
        "move the window pane back to close it",
        "shut the sliding window",
    ),
}

PUSHT: dict[str, tuple[str, ...]] = {
    "pusht": (
        "push the T onto its outline",
        "move the T-shaped block into the green area",
        "push the grey T until it covers the green one",
        "slide the block to the target pose",
        "align the T with the marked T",
    ),
}

FETCH: dict[str, tuple[str, ...]] = {
    "fetch-reach": (
        "reach the ball with the gripper",
        "move the gripper to the green ball",
        "bring the robot's hand to the marked point",
        "touch the floating target",
        "go to the green marker",
    ),
    "fetch-push": (
        "push the cube to the marker",
        "slide the box to the green spot",
        "push the block over the table to the target",
        "move the cube to the marked place without lifting it",
        "shove the box onto the green marker",
    ),
    "fetch-pick-place": (
        "bring the cube to the ball",
        "grasp the box and carry it to the green ball",
        "lift the block to the floating target",
        "pick the cube up and hold it at the green marker",
        "pick and place the box at the marked point",
    ),
}

WORLDS: dict[str, dict[str, tuple[str, ...]]] = {"metaworld": METAWORLD, "pusht": PUSHT, "fetch": FETCH}
"""world -> task -> wordings. A world is the module of that name in this package."""
INSTRUCTIONS = {task: wordings for tasks in WORLDS.values() for task, wordings in tasks.items()}
ALL_TASKS: list[str] = sorted(METAWORLD)
MT10: list[str] = [
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
]


def check_task(task: str) -> str:
    """Return `task`, or raise `UserError` with the names that come close."""
    if task in INSTRUCTIONS:
        return task
    close = get_close_matches(task, INSTRUCTIONS, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else "see presage.worlds.WORLDS"
    raise UserError(f"unknown task {task!r}: {hint}")


def world_name(task: str) -> str:
    """The world of a task that exists."""
    return next(name for name, tasks in WORLDS.items() if task in tasks)


def instructions(task: str) -> list[str]:
    """The wordings of a task: first the canonical one, then at least four paraphrases."""
    return list(INSTRUCTIONS[check_task(task)])


def draw_instruction(task: str, seed: int) -> str:
    """One wording, the same for the same seed: half of the time the canonical one, else any paraphrase."""
    canonical, *paraphrases = instructions(task)
    rng = np.random.default_rng((seed, 7))
    return canonical if rng.random() < 0.5 else str(rng.choice(paraphrases))
