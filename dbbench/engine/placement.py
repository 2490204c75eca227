"""Which CPUs the client and the server run on: a setting, not an accident."""

import os

from dbbench.plan import Placement, PlacementMode


def choose(mode: PlacementMode | None, *, embedded: bool, local: bool, processes: int = 1) -> Placement:
    """The placement for this machine.

    `mode` None means the default: `split` for a server on this machine if there are two CPUs, and for a remote server,
    where only the client is placed. Of servers, only the embedded one is moved. A client in several `processes` gets as
    many CPUs, if that leaves one for the server; `shared` has one for all.
    """
    if not hasattr(os, "sched_getaffinity"):
        return Placement("free", note="this platform cannot pin processes to CPUs")
    cpus = sorted(os.sched_getaffinity(0))
    mode = mode or ("split" if len(cpus) > 1 or not local else "free")
    wanted = 1 if mode == "shared" else max(1, min(processes, len(cpus) - local))
    client, others = cpus[-wanted:], cpus[:-wanted]  # not the first CPU, which often handles the machine's interrupts
    if mode == "free":
        return Placement("free")
    if mode == "split" and local and not others:
        return Placement("free", note="split needs two CPUs, and this process may use one")
    if not embedded:
        what = "the server, which is not ours, was not moved" if local else "the server is remote"
        return Placement(mode, client_cpus=client, note=f"client only: {what}")
    return Placement(mode, client_cpus=client, server_cpus=client if mode == "shared" else others)
