"""A daemon reduced to the pact: `stub_daemon.py BEHAVIOUR [CLIENT_LIMIT] [MAX_USE]`.

    serve   greet each client with "PROCESS GENERATION", keep it until it leaves
    exit    end at once with status 1
    hang    take the check-in and say nothing
    idle    say that it is free and accept nobody
    babble  send what is no packet

Each line of the file `trace` is "EVENT PROCESS PID TIME", on the monotonic clock.
"""

import contextlib
import os
import select
import socket
import sys
import time

from mta.master.channel import Bye, Checkin, Command, Counters, Crossing, Packet, decode, encode


class Stub:
    def __init__(self, limit: int, max_use: int) -> None:
        self.channel = socket.socket(fileno=0)
        data, descriptors, _, _ = socket.recv_fds(self.channel, 32768, 64)
        checkin = decode(data)
        assert isinstance(checkin, Checkin)
        self.checkin = checkin
        self.log = descriptors.pop(0) if checkin.log else -1
        self.listeners = [socket.socket(fileno=fd) for fd in descriptors if _is_socket(fd)]
        self.pipes = [fd for fd in descriptors if not _is_socket(fd)]
        self.clients: list[socket.socket] = []
        self.limit, self.max_use, self.served = limit, max_use, 0
        self.retiring = False

    def trace(self, event: str) -> None:
        line = f"{event} {self.checkin.process} {os.getpid()} {time.monotonic()}\n"
        with open("trace", "a", encoding="ascii") as file:
            file.write(line)

    def say(self, packet: Packet) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # obey() meets the end
            self.channel.send(encode(packet))

    def serve(self) -> None:
        self.say(Crossing("free"))
        while self.clients or not self.retiring:
            full = len(self.clients) >= self.limit
            accepting = [] if full else self.listeners
            watched: list[socket.socket | int] = [
                self.channel,
                *accepting,
                *self.clients,
                *self.pipes,
            ]
            ready, _, _ = select.select(watched, [], [])
            for item in ready:
                if item is self.channel:
                    self.obey()
                elif isinstance(item, int):
                    with open("log", "ab") as file:
                        file.write(os.read(item, 65536))
                elif item in self.clients:
                    self.leave(item)
                elif item in self.listeners:
                    self.accept(item)
        self.say(Bye("retired"))

    def accept(self, listener: socket.socket) -> None:
        if len(self.clients) >= self.limit:
            return
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        self.clients.append(client)
        client.send(f"{self.checkin.process} {self.checkin.generation}\n".encode())
        self.served += 1
        self.say(Counters(len(self.clients), self.served))
        if self.max_use and self.served >= self.max_use:
            self.retire()
            self.say(Bye("max_use"))
        elif len(self.clients) == self.limit:
            self.say(Crossing("full"))

    def retire(self) -> None:
        self.retiring = True
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
        self.pipes.clear()

    def leave(self, client: socket.socket) -> None:
        was_full = len(self.clients) >= self.limit
        self.clients.remove(client)
        client.close()
        self.say(Counters(len(self.clients), self.served))
        if was_full and self.listeners:
            self.say(Crossing("free"))

    def obey(self) -> None:
        try:
            data = self.channel.recv(32768)
        except ConnectionResetError:  # the master died before it read all of ours
            data = b""
        if not data:
            self.trace("orphan")
            sys.exit(0)
        command = decode(data)
        assert isinstance(command, Command)
        self.trace(command.name)
        if command.name == "retire":
            self.retire()
        elif command.name == "expire":
            for client in self.clients:
                client.close()
            self.clients.clear()


def _is_socket(descriptor: int) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")


def main(behaviour: str, limit: int = 1, max_use: int = 0) -> None:
    stub = Stub(limit, max_use)
    stub.trace("start")
    match behaviour:
        case "serve":
            stub.serve()
        case "exit":
            sys.exit(1)
        case "hang":
            time.sleep(60)
        case "idle":
            stub.say(Crossing("free"))
            while stub.channel.recv(32768):
                time.sleep(0.01)
        case "babble":
            stub.channel.send(b"{}")
            while stub.channel.recv(32768):
                time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
