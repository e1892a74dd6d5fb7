"""Worker of benchmarks/versus_tfmot.py: what each technique adds to a step of `fit`, in one engine.

python benchmarks/versus_steps.py edgekit --rounds 8
"""

import json

import click
from fit_turns import length, time_fits
from pruning_steps import batches
from resnet8 import resnet8
from versus_engines import ENGINES

import edgekit as ek


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.option("--rounds", default=8, show_default=True)
def main(engine, rounds):
    """Time ResNet-8 plain and in each way, in turns, and print JSON."""
    engine = ENGINES[engine]()
    keras = engine.keras
    keras.utils.set_random_seed(0)
    schedule = ek.schedules.Polynomial(begin=0, end=length(rounds) - 2, every=20)
    ways = {
        "plain": lambda model: (model, []),
        "QAT": engine.quantize_aware,
        "prune": lambda model: engine.prune(model, 0.8, schedule),
        "cluster 16": lambda model: engine.cluster(model, 16),
    }
    fits = {}
    for name, way in ways.items():
        model, callbacks = way(resnet8(keras))
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(1e-3), loss)
        fits[name] = (model, callbacks)
    print(json.dumps(time_fits(keras, fits, batches(), rounds)))


if __name__ == "__main__":
    main()
