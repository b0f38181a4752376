"""`presage models`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presage.interface.commands.options import Command
from presage.results.output import command_line, write_json


@dataclass(frozen=True, kw_only=True)
class Models(Command):
    """List the models presage can load: parameters, memory of their weights, licence, and where they are.

    Published backbones are looked for in backbones/NAME and in the Hugging Face cache. presage downloads nothing; with
    the network at hand:

        hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers --local-dir backbones/wan2.1-t2v-1.3b
        presage models --json models.json
        presage train --data data/mt10 --out runs/wan --recipe backbone --backbone backbones/wan2.1-t2v-1.3b
    """

    def run(self) -> None:
        models = [*shipped(), *backbones()]
        for model in models:
            print(f"\n{model['name']}\n{'-' * len(model['name'])}")
            parts = ", ".join(f"{name} {_count(n)}" for name, n in model["parameters"].items())
            print(f"parameters  {parts}")
            print(f"memory      {model['weights_gib']:.2g} GiB of weights{model['beside']}")
            print(f"licence     {model['licence']}")
            print(f"here        {model['here'] or 'no'}")
            if not model["here"]:
                print(f"looked in   {', '.join(model['looked_in'])}")
                print(f"hub         {model['hub']}")
        if self.json is not None:
            write_json(self.json, {"command": command_line(), "figures": {m.pop("name"): m for m in models}})


def shipped() -> list[dict[str, Any]]:
    """The checkpoints that come with presage, if this copy has them."""
    from presage.networks.published import gibibytes
    from presage.systems.shipped import PARTS, PUSHT, SHIPPED
    from presage.training.checkpoint import checkpoint_weights

    out: list[dict[str, Any]] = []
    for folder in (x for x in (SHIPPED, PUSHT, PARTS) if (x / "config.json").exists()):
        parts: dict[str, int] = {}
        for name, weight in checkpoint_weights(folder).items():
            part = name.removeprefix("parts.").split(".")[0]
            parts[part] = parts.get(part, 0) + weight.numel()
        out.append(
            {
                "name": folder.name,
                "parameters": parts,
                "weights_gib": gibibytes(sum(parts.values()), 4),
                "beside": " in fp32",
                "licence": "Apache-2.0",
                "here": "comes with presage",
                "looked_in": [],
                "hub": None,
            }
        )
    return out


def backbones() -> list[dict[str, Any]]:
    """The published backbones."""
    from presage.networks.published import BACKBONES, gibibytes, parameters, places, present

    out = []
    for backbone in BACKBONES:
        counts = parameters(backbone.name)
        text = gibibytes(counts["text_encoder"])
        here = present(backbone)
        out.append(
            {
                "name": backbone.name,
                "parameters": counts,
                "weights_gib": gibibytes(counts["transformer"]) + gibibytes(counts["vae"], 4),
                "text_encoder_gib": text,
                "beside": f" on the device (transformer bf16, vae fp32), {text:.2g} GiB in main memory (text encoder)",
                "licence": backbone.licence,
                "here": None if here is None else _shown(here),
                "looked_in": [_shown(p) for p in places(backbone)],
                "hub": backbone.hub,
            }
        )
    return out


def _shown(path: Path) -> str:
    """A path as a person writes it."""
    return str(path).replace(str(Path.home()), "~", 1)


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"
