"""Train a convolutional network on the digits with several processes: mpiexec -n 2 python digits_mpi.py

Run without mpiexec it is the same training by one process.
"""

import argparse
from itertools import chain, islice, repeat
from pathlib import Path

from sklearn.model_selection import train_test_split
from tqdm import tqdm

import minidl
from minidl import distributed
from minidl.data import DataLoader, digits
from minidl.layers import BatchNorm, Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.optim import AdamW
from minidl.optim.schedules import one_cycle


def build(seed: int) -> Sequential:
    return Sequential(
        Conv(1, 16, kernel_size=3, padding="same", bias=False, seed=seed),
        BatchNorm(16),
        ReLU(),
        Conv(16, 32, kernel_size=3, padding="same", bias=False, seed=seed + 1),
        BatchNorm(32),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Dropout(0.3, seed=seed + 2),
        Linear(4 * 4 * 32, 10, seed=seed + 3),
    )


def accuracy(group: distributed.Group, model: Sequential, batches: DataLoader) -> float:
    """Each rank looks at its part of every batch."""
    hits = samples = 0
    for x, y in batches:
        hits += int((model.predict(x).argmax(axis=-1) == y).sum())
        samples += len(y)
    hits, samples = group.sum([hits, samples]).tolist()
    return hits / samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (20)")
    parser.add_argument("--steps", type=int, help="stop after so many batches instead")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the dropout and the order (0)")
    parser.add_argument("--split", type=int, default=0, help="which stratified 80/20 split (0)")
    parser.add_argument("--local", action="store_true", help="let BatchNorm see its rank's samples alone")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the weights (here)")
    args = parser.parse_args()

    images, labels = digits()
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=args.split
    )
    batches = DataLoader((images, labels), batch_size=64, shuffle=True, seed=args.seed)
    steps = args.steps or args.epochs * len(batches)
    model, criterion = build(args.seed), minidl.CrossEntropy()
    optimizer = AdamW(model.parameters(), lr=one_cycle(6e-3, steps))

    group = distributed.connect(model, optimizer)  # the weights of rank 0
    batches = group.shard(batches)  # this rank's part of every batch
    if not args.local:
        group.synchronize_batch_norm(model)

    progress = tqdm(islice(chain.from_iterable(repeat(batches)), steps), total=steps, disable=group.rank > 0)
    for step, (x, y) in enumerate(progress, start=1):
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        group.average_gradients(optimizer, len(x))  # as of one process with the whole batch
        optimizer.step()
        optimizer.zero_grad()
        if step % len(batches) == 0 or step == steps:
            progress.set_postfix(loss=f"{group.mean(loss, len(x)):.4f}")

    path = args.out / "digits_mpi.safetensors"
    args.out.mkdir(parents=True, exist_ok=True)
    group.once(lambda: minidl.save_weights(model, path))
    test = group.shard(DataLoader((test_images, test_labels), batch_size=120))
    share = accuracy(group, model, test)
    if group.rank == 0:
        print(f"{group.size} x {steps} steps, wrote {path}")
        print(f"test accuracy {100 * share:.2f} %")


if __name__ == "__main__":
    main()
