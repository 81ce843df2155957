"""Makes processes after this one has computed with all its threads: `python processes.py METHOD WAY ...`.

Prints each way before it, and `done` if all that they do comes back. `test_processes.py` runs it with a time limit.
"""

import multiprocessing
import os
import sys
import threading

import gymnasium as gym
import numpy as np
import torch

from nova_gym import Dream
from nova_gym.envs import NovaDreamEnv


def compute():
    """Keeps all of PyTorch's pools of threads busy, and ours: what a process forked from here has lost."""
    pixels = torch.randn(8, 3, 72, 72)
    weight = torch.randn(16, 3, 3, 3, requires_grad=True)
    torch.nn.functional.conv2d(pixels, weight, padding=1).square().sum().backward()
    matrix = torch.randn(500, 500, requires_grad=True)
    (matrix @ matrix).exp().mean().backward()
    torch.nn.LSTM(32, 32)(torch.randn(10, 8, 32))[0].sum().backward()
    torch.linalg.inv(torch.randn(300, 300))
    torch.randn(1_000_000).sort()
    model = Dream.load("minigrid").world_model
    assert model.render(torch.zeros(64, model.config.rank, *model.config.cells), as_bytes=True).any()
    return True


def live(number=0):
    """All that a process does with a dream: it encodes what is real, steps, renders and learns."""
    env = NovaDreamEnv(observation="pixels", render_mode="rgb_array", starts="reality")
    env.reset(seed=number)
    assert env.step(2)[0].any()
    assert env.render().any()
    model = env.dream.world_model
    model.requires_grad_(True)
    optimiser = torch.optim.Adam(model.parameters())
    states = torch.randn(256, model.config.rank, *model.config.cells)
    after = model.step(states, torch.randn(256, model.config.latent_action, *model.config.cells))
    (after.square().mean() + model.render(states[:4]).mean()).backward()
    optimiser.step()
    return compute()


def make(**kwargs):
    return gym.make("NovaDream-MiniGrid-v0", **kwargs)


def encoded():
    return make(starts="reality")


class Lives(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return live(index)


def steps(envs):
    """Some steps of a vector environment of Gymnasium's."""
    assert envs.reset(seed=0)[0].any()
    for _ in range(3):
        envs.step(np.array([2, 1]))
    envs.close()


def gymnasium_s(method):
    steps(gym.vector.AsyncVectorEnv([encoded, encoded], context=method))


def make_vec(_):
    steps(gym.make_vec("NovaDream-MiniGrid-v0", num_envs=2, vectorization_mode="async"))


def sb3_s(method):
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = SubprocVecEnv([encoded, encoded], start_method=method)
    assert envs.reset().any()
    envs.step(np.array([2, 1]))
    envs.close()


def pool(method):
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.map(live, range(2)) == [True, True]


def data_loader(method):
    assert all(torch.utils.data.DataLoader(Lives(), num_workers=2, multiprocessing_context=method))


def by_hand(_):
    """From the main thread, whose child ends as any program does, and from another."""
    by_fork(sys.exit)
    thread = threading.Thread(target=lambda: (compute(), by_fork(os._exit)))
    thread.start()
    thread.join()


def by_fork(leave):
    if not (child := os.fork()):
        live()
        leave(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


if __name__ == "__main__":
    torch.set_num_threads(2)
    live()
    for way in sys.argv[2:]:
        print(way, flush=True)
        globals()[way](sys.argv[1])
    live()  # and this one computes as before
    assert torch.get_num_threads() == 2
    print("done")
