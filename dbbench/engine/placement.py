"""Which CPUs the client and the server run on: a setting, not an accident."""

import os

from dbbench.plan import Placement, PlacementMode


def choose(mode: PlacementMode | None, *, embedded: bool, local: bool) -> Placement:
    """The placement for this machine.

    `mode` None means the default: `split` for a server on this machine if there are two CPUs, and for a remote server,
    where only the client is placed. Of servers, only the embedded one is moved.
    """
    if not hasattr(os, "sched_getaffinity"):
        return Placement("free", note="this platform cannot pin processes to CPUs")
    cpus = sorted(os.sched_getaffinity(0))
    client, others = cpus[-1:], cpus[:-1]  # not the first CPU, which often handles the machine's interrupts
    mode = mode or ("split" if others or not local else "free")
    if mode == "free":
        return Placement("free")
    if mode == "split" and local and not others:
        return Placement("free", note="split needs two CPUs, and this process may use one")
    if not embedded:
        what = "the server, which is not ours, was not moved" if local else "the server is remote"
        return Placement(mode, client_cpus=client, note=f"client only: {what}")
    return Placement(mode, client_cpus=client, server_cpus=client if mode == "shared" else others)
