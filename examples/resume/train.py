"""Learns a curve with a small network, and goes on where it was when its machine is taken away: the weights in the end
are those of a training that nobody disturbed, bit for bit."""

import os
import time

import torch
from torch import nn

EPOCHS = int(os.environ.get("EPOCHS", "40"))
PAUSE = float(os.environ.get("PAUSE", "0"))  # seconds an epoch, so that there is time to interrupt it
out = os.environ.get("FERRY_OUTPUTS") or "outputs"
checkpoint = os.path.join(out, "checkpoint.pt")


def replace(path, what):
    """Complete or invisible: a reader never sees half a file."""
    torch.save(what, path + ".part")
    os.replace(path + ".part", path)


os.makedirs(out, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.linspace(-3, 3, 512).unsqueeze(1)
y = torch.sin(2 * x) + 0.1 * torch.randn(x.shape)
model = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Dropout(0.1), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
done = 0

# All that the next epoch depends on: weights, the optimizer's averages, the number of the epoch, and chance.
if os.path.exists(checkpoint):
    saved = torch.load(checkpoint)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    torch.set_rng_state(saved["chance"])
    done = saved["epoch"]
print(f"attempt {os.environ.get('FERRY_ATTEMPT', '1')} begins at epoch {done + 1}", flush=True)

for epoch in range(done + 1, EPOCHS + 1):
    for batch in torch.randperm(len(x)).split(64):
        loss = nn.functional.mse_loss(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    replace(
        checkpoint,
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "chance": torch.get_rng_state(),
            "epoch": epoch,
        },
    )
    print(f"epoch={epoch} loss={loss.item():.6f}", flush=True)
    time.sleep(PAUSE)

replace(os.path.join(out, "model.pt"), model.state_dict())
