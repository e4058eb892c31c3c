"""Supervisor's groups, edited in place: a row's slots are ours, all other programs stay alone."""

from mta.master.plugin.process import Keeper, ServiceProcess
from mta.master.plugin.seam import Group, GroupConfig

__all__ = ["edit_group", "free_slot", "own_group", "prune_group", "swap_config"]


def own_group(group: Group, keeper: Keeper) -> None:
    """Put our processes in place of Supervisor's, none of which has run yet."""
    group.processes = {
        config.name: ServiceProcess(config, group, keeper)
        for config in group.config.process_configs
    }


def edit_group(group: Group, config: GroupConfig, keeper: Keeper) -> None:
    """Give a group its new configuration: slots change, come, or go when they are empty."""
    config.after_setuid()
    group.config = config
    wanted = {slot.name: slot for slot in config.process_configs}
    for name, process in group.processes.items():
        process.surplus = name not in wanted
    for name, slot in wanted.items():
        if name in group.processes:
            group.processes[name].config = slot
        else:
            group.processes[name] = ServiceProcess(slot, group, keeper)


def swap_config(group: Group, config: GroupConfig) -> None:
    """Give a program that is no row its new configuration; it takes effect at its next start."""
    config.after_setuid()
    group.config = config
    for slot in config.process_configs:
        if slot.name in group.processes:
            group.processes[slot.name].config = slot


def prune_group(group: Group) -> None:
    """Remove slots that the table no longer has, once they are empty."""
    for name, process in list(group.processes.items()):
        if process.surplus and not process.pid:
            del group.processes[name]


def free_slot(group: Group) -> ServiceProcess | None:
    """A slot that can be started, or None if all are taken."""
    for process in group.processes.values():
        if process.startable:
            slot: ServiceProcess = process
            return slot
    return None
