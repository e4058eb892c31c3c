"""The Supervisor plugin: on-demand activation, reload and drain for the rows of the service table.

    [rpcinterface:supervisor]
    supervisor.rpcinterface_factory = mta.master.plugin:make_supervisor_interface
    [rpcinterface:mta]
    supervisor.rpcinterface_factory = mta.master.plugin:make_interface
    generation = 7

Supervisor calls both factories once for each of its HTTP sections; there is one master all the
same. It may be root: it imports the standard library and supervisor, and reads one JSON file.
"""

from mta.master.plugin.install import make_interface, make_supervisor_interface

__all__ = ["make_interface", "make_supervisor_interface"]
