"""A step of TC-MGAN in the order in which the released code computes it, on our networks and losses: the yardstick.

Written from a description of that code, not from its text. What differs from the loop's own step:
* every turn makes its own fake, so the generator runs forward three times a batch;
* the critic sees real and fake images in two passes;
* nothing is frozen: the generator's turn also computes the gradients of critic and segmenter, which are thrown away.

Where the description leaves room, the cheaper reading is taken: the segmenter's turn does not run back through the
generator, and gradients are dropped rather than filled with zeros.
"""

import torch
from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.nets.layers import with_planes
from polycontrast.systems.base import SampleRng, Step, Term
from polycontrast.systems.tcmgan import DISCRIMINATOR, GENERATOR, SEGMENTER, Scene, Tcmgan
from polycontrast.train.loop import Trainer


def released_step(trainer: Trainer, batch: Batch) -> dict[str, float]:
    """One turn of each player at the trainer's initial rates; the same named terms as `Trainer.step`."""
    system = trainer.system
    assert isinstance(system, Tcmgan)
    rng = SampleRng(trainer.recipe.train.seed, batch.index, trainer.device)
    scene = system.draw(batch, Step("segmenter", (SEGMENTER,)), rng)  # in this phase all is drawn, but no fake is made
    logged: dict[str, float] = {}
    for player, turn in TURNS.items():
        terms = turn(system, scene)
        loss = torch.stack([t.weight * t.value for t in terms.values()]).sum()
        for optimiser in trainer.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        trainer.optimisers[player].step()
        logged |= {f"{player[0]}_loss": loss.item()} | {name: term.value.item() for name, term in terms.items()}
    return logged


def _fake(system: Tcmgan, scene: Scene) -> Tensor:
    fake: Tensor = system.run(GENERATOR, with_planes(scene.source, scene.label))
    return fake


def _discriminator(system: Tcmgan, scene: Scene) -> dict[str, Term]:
    fake = _fake(system, scene).detach()

    def critic(image: Tensor) -> tuple[Tensor, Tensor]:
        score, logits = system.run(DISCRIMINATOR, torch.cat([image, scene.source], dim=1))
        return score, logits

    real_score, real_logits = critic(scene.real)
    fake_score, _ = critic(fake)
    penalty = losses.gradient_penalty(lambda x: critic(x)[0], scene.real, fake, scene.mix)
    return {
        "d_real": Term(-losses.critic_score(real_score)),
        "d_fake": Term(losses.critic_score(fake_score)),
        "d_cls": Term(losses.classification(real_logits, scene.label), system.config.cls),
        "d_gp": Term(penalty, system.config.gp),
    }


def _generator(system: Tcmgan, scene: Scene) -> dict[str, Term]:
    fake = _fake(system, scene)
    score, logits = system.run(DISCRIMINATOR, torch.cat([fake, scene.source], dim=1))
    return {
        "g_fake": Term(-losses.critic_score(score)),
        "g_cls": Term(losses.classification(logits, scene.label), system.config.cls),
        "g_rec": Term(losses.l1_sum(fake, scene.real), system.config.rec),
        "g_seg": Term(_dice(system, fake, scene), system.config.seg),
    }


def _segmenter(system: Tcmgan, scene: Scene) -> dict[str, Term]:
    fake = _fake(system, scene).detach()
    return {
        "s_fake": Term(_dice(system, fake, scene), system.config.seg_fake),
        "s_real": Term(_dice(system, scene.real, scene), system.config.seg_real),
    }


def _dice(system: Tcmgan, image: Tensor, scene: Scene) -> Tensor:
    return losses.dice_loss(system.run(SEGMENTER, with_planes(image, scene.label)), scene.lesion)


TURNS = {DISCRIMINATOR: _discriminator, GENERATOR: _generator, SEGMENTER: _segmenter}
