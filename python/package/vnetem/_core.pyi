"""The compiled part of vnetem. Import from ``vnetem`` itself."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, final

from .types import (
    Address,
    Addresses,
    EdgeLike,
    Flows,
    Packet,
    Path,
    Paths,
    Prefix,
    Prefixes,
    Seconds,
    Socket,
)

__all__ = [
    "ApplyError",
    "ArgumentError",
    "DataPlane",
    "Edge",
    "EditError",
    "Error",
    "Event",
    "FilesError",
    "Network",
    "SecurityRule",
    "Trace",
    "TraceStep",
    "Transmit",
    "Verdict",
    "Verdicts",
    "load",
    "load_change",
    "what_if",
]

class Error(ValueError):
    """The base class of the errors of vnetem."""

class ArgumentError(Error):
    """An argument is not what it must be: no address, no time, no packet. Nothing has changed."""

class EditError(Error):
    """The network refuses an edit, or knows no thing of a name. Nothing has changed."""

class FilesError(Error):
    """A file cannot be read, or is none that vnetem knows. The message names it."""

class ApplyError(Error):
    """A network is no successor of the one in force. Nothing has changed."""

@final
class Edge:
    """A point at which packets enter and leave.

    Make one with ``Network.edge`` and keep it, or pass its name. Edges of one name are equal, and
    an edge equals its name.
    """

    @property
    def name(self) -> str:
        """The name, such as ``alpha/web``, ``internet`` or ``service X as alpha/web``."""
    @property
    def kind(
        self,
    ) -> Literal["subnet", "nic", "internet", "service", "site", "platform", "private-endpoint"]:
        """The kind of place."""
    @property
    def caller(self) -> IPv4Address | None:
        """The private address that a service learns of a caller over an endpoint."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Verdict:
    """What became of a packet."""

    @property
    def disposition(self) -> Literal["forward", "deny", "drop"]:
        """What becomes of the packet."""
    @property
    def forwarded(self) -> bool:
        """Whether the packet leaves."""
    @property
    def reason(self) -> str | None:
        """Why the packet is denied or dropped, as a name that never changes."""
    @property
    def to(self) -> Edge | None:
        """The edge by which the packet leaves. An answer to it enters there."""
    @property
    def packet(self) -> bytes | None:
        """The packet as it leaves, rewritten; ``None`` if it does not."""
    @property
    def translated(self) -> Socket | None:
        """The public source that the far side sees; ``None`` if the source is preserved."""
    @property
    def direction(self) -> Literal["original", "reply"] | None:
        """Which way the packet travels, seen from the initiator of its flow."""
    @property
    def access(self) -> Literal["unjudged", "allowed", "refused"] | None:
        """What the rules of the resource at the far side say; ``unjudged`` if none were asked."""
    @property
    def refusal(self) -> str | None:
        """Why the resource refuses the caller, as a name that never changes."""
    @property
    def generation(self) -> int:
        """The number of the configuration that decided."""

@final
class Verdicts:
    """The verdicts on a batch, in the order of its packets."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Verdict: ...
    @property
    def packets(self) -> list[bytes | None]:
        """The packets as they leave; ``None`` in the place of one that does not."""
    @property
    def data(self) -> bytes:
        """All packets back to back: forwarded ones rewritten, the others as they came."""
    def counts(self) -> dict[str, int]:
        """Counts packets by what became of them: ``forward``, or the reason why not."""

@final
class TraceStep:
    """One step of a decision."""

    @property
    def kind(self) -> str:
        """What was asked: ``flow``, ``security``, ``route``, ``source``, ``access`` and so on."""
    @property
    def text(self) -> str:
        """What it said."""
    @property
    def given(self) -> bool:
        """Whether it is a reason for the cached decision of a live flow."""

@final
class Trace:
    """Why a packet would fare as it would. ``str(trace)`` explains it, a line for each step."""

    @property
    def steps(self) -> list[TraceStep]:
        """The steps of the decision, in order."""
    @property
    def verdict(self) -> Verdict:
        """The verdict that ``process`` would give. It has no packet."""

@final
class Transmit:
    """A packet that the data plane made: a reset or an ICMP error."""

    @property
    def to(self) -> Edge:
        """The edge by which it leaves."""
    @property
    def packet(self) -> bytes:
        """The whole packet."""

@final
class Event:
    """Something that happened to a flow."""

    @property
    def at(self) -> float:
        """When, in seconds."""
    @property
    def kind(self) -> Literal["opened", "closed", "ended"]:
        """What: ``closed`` is by a change, and ``ended`` is the last event of every flow."""
    @property
    def cause(self) -> str | None:
        """Why it was closed or ended, as a name that never changes."""
    @property
    def protocol(self) -> str:
        """The protocol: ``tcp``, ``udp``, ``icmp`` or ``ip-NUMBER``."""
    @property
    def source(self) -> Socket:
        """Address and port of the initiator."""
    @property
    def destination(self) -> Socket:
        """Address and port of the other end."""
    @property
    def external(self) -> Socket:
        """The source that the far side sees."""
    @property
    def state(self) -> str:
        """How far the flow had come, such as ``established``."""

@final
class SecurityRule:
    """A rule of a security group.

    ``priority`` is 100 to 4096; the lowest that matches decides. ``direction`` is seen from the
    machine. ``protocol`` is ``tcp``, ``udp``, ``icmp``, ``esp``, ``ah`` or ``*``. Sources and
    destinations are addresses, prefixes, tags or ``*``; ports are as ``443``, ``"80-90"`` or ``*``.
    """

    def __new__(
        cls,
        name: str,
        priority: int,
        direction: Literal["inbound", "outbound"],
        action: Literal["allow", "deny"],
        *,
        protocol: str = "*",
        sources: Prefixes | None = None,
        source_ports: int | str | Iterable[int | str] | None = None,
        destinations: Prefixes | None = None,
        destination_ports: int | str | Iterable[int | str] | None = None,
    ) -> SecurityRule: ...

@final
class DataPlane:
    """The data plane of an emulated cloud network: packets in, verdicts out.

    It has no sockets, threads or clock. Every ``now`` is in seconds since an origin of your choice,
    as a number or a ``timedelta``. Without ``now`` the clock stands still, and it never goes back.
    Threads may share a data plane, and take turns.

    ``seed=`` makes runs that repeat byte for byte. Without a seed, keys are drawn from
    ``os.urandom``, so that nobody can predict public ports. ``flows`` limits the flow table, whose
    memory is taken at once. ``closing`` says who gets a reset when a change closes a flow. MTUs are
    in bytes, the IPv4 header included. ``queue`` and ``events`` limit what waits to be taken.
    """

    def __new__(
        cls,
        network: Network,
        *,
        seed: int | None = None,
        flows: int | None = None,
        closing: Literal["both", "initiator", "silent"] = "both",
        public_mtu: int = 65535,
        private_mtu: int = 65535,
        verify_checksums: bool = False,
        queue: int = 256,
        events: int = 1024,
    ) -> DataPlane: ...
    def process(self, edge: EdgeLike, packet: Packet, now: Seconds | None = None) -> Verdict:
        """Takes a packet that enters by an edge, and says what becomes of it.

        ``packet`` is raw IPv4: ``bytes``, a buffer, or an object that ``bytes()`` takes, such as a
        packet of scapy from its IP layer on. It stays as it is; ``verdict.packet`` is rewritten.

        Raises ``EditError`` if there is no such edge, ``ArgumentError`` if ``now`` is no time.
        """
    def process_batch(
        self,
        edge: EdgeLike | Sequence[EdgeLike],
        packets: bytes | bytearray | memoryview | Iterable[Packet],
        now: Seconds | None = None,
    ) -> Verdicts:
        """Does ``process`` for many packets in their order, and lets other threads run meanwhile.

        ``packets`` is an iterable of packets, or one buffer in which they are back to back.
        ``edge`` is one edge for all of them, or a list with one for each.

        Raises ``ArgumentError``, before any packet is processed, if the buffer does not end with a
        packet, or if there are not as many edges as packets.
        """
    def apply(self, network: Network, now: Seconds | None = None) -> bool:
        """Takes the present configuration of a network, and returns whether it is a new one.

        It is in force for the next packet. Flows that it closes are closed by ``transmits``, or at
        their own next packet.

        Raises ``ApplyError`` if the network is neither the one of this data plane nor a copy of it.
        """
    def transmits(self, now: Seconds | None = None) -> list[Transmit]:
        """Ends what has expired, closes what a change ends, and returns the packets that the data
        plane made: resets and ICMP errors.
        """
    def events(self) -> list[Event]:
        """Returns what happened to flows since the last call, oldest first."""
    def trace(self, edge: EdgeLike, packet: Packet, now: Seconds | None = None) -> Trace:
        """Explains what would become of a packet, by the code that forwards. Nothing changes."""
    @property
    def next_timeout(self) -> float | None:
        """The time in seconds at which ``transmits`` has something to do even if no packet comes;
        ``None`` if it never has.
        """
    @property
    def generation(self) -> int:
        """The number of the configuration in force."""
    def flows(self) -> list[dict[str, Any]]:
        """Lists the flows, closed ones that still answer included, a ``dict`` each: ends, state,
        and packets and bytes that the initiator sent and received.
        """
    def counters(self) -> dict[str, Any]:
        """Counts what went in and out: packets and bytes, and packets by reason."""

@final
class Network:
    """A cloud network, changed by edits and read by a ``DataPlane``.

    Everything has a name. A subnet is named ``vnet/subnet``, or ``subnet`` alone where one network
    has it. Addresses and prefixes are ``str`` or of ``ipaddress``. Where a method takes several,
    one alone will do.

    An edit that is refused raises ``EditError`` and changes nothing. Edits have no effect on a data
    plane until ``DataPlane.apply``.
    """

    def __new__(cls) -> Network: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def copy(self) -> Network:
        """Returns a copy. A data plane of this network can apply the copy after edits of it, and
        ``what_if`` can compare both.
        """
    def edge(self, name: str) -> Edge:
        """Returns the edge of a name: a subnet, ``internet``, ``nic NAME``, ``site NAME``,
        ``service NAME``, ``service NAME as SUBNET``, ``service NAME in the region of SUBNET``,
        ``platform of SUBNET`` or ``private-endpoint NAME``.
        """
    @property
    def notes(self) -> list[str]:
        """What the files leave open, a line each: what could not be read, and what is assumed."""
    @property
    def vnets(self) -> list[str]:
        """The names of the virtual networks."""
    @property
    def subnets(self) -> list[str]:
        """The names of the subnets, ``vnet/subnet``."""
    @property
    def nics(self) -> list[str]:
        """The names of the declared interfaces."""
    @property
    def sites(self) -> list[str]:
        """The names of the sites."""
    @property
    def services(self) -> list[str]:
        """The names of the services."""
    @property
    def resources(self) -> list[str]:
        """The names of the resources."""
    def prefix(self, subnet: str) -> IPv4Network:
        """Returns the prefix of a subnet."""
    def endpoints(self, subnet: str) -> list[str]:
        """Returns the services whose endpoint is enabled on a subnet, by the names of the
        endpoints.
        """
    def provisioning_state(self, subnet: str) -> Literal["Updating", "Succeeded"]:
        """Returns whether the last edit of a subnet's endpoints is in a configuration: ``Updating``
        or ``Succeeded``.
        """
    def routes(self, subnet: str) -> list[tuple[str, str]]:
        """Returns the user-defined routes of a subnet: pairs of prefix, or tag, and next hop."""
    def resolve(self, resource: str, vnet: str | None = None) -> IPv4Address | None:
        """Returns the address that the name of a resource has for a client in a virtual network, or
        elsewhere without one; ``None`` if the name does not exist there.
        """
    def add_vnet(self, name: str, ranges: Prefixes) -> None:
        """Makes a virtual network with address ranges."""
    def add_classic_vnet(self, name: str, ranges: Prefixes) -> None:
        """Makes a virtual network of the classic model, which has no endpoints."""
    def remove_vnet(self, vnet: str) -> None:
        """Removes a virtual network without subnets, peerings and gateways."""
    def place_vnet(
        self, vnet: str, region: str = "", subscription: str = "", tenant: str = ""
    ) -> None:
        """Says where a virtual network is placed. What is not given is unknown."""
    def peer(self, vnet: str, other: str) -> None:
        """Peers two virtual networks with each other."""
    def unpeer(self, vnet: str, other: str) -> None:
        """Ends the peering of two virtual networks."""
    def add_subnet(self, vnet: str, name: str, prefix: Prefix) -> None:
        """Makes a subnet of a virtual network. It is private until ``set_outbound``."""
    def remove_subnet(self, subnet: str) -> None:
        """Removes a subnet without interfaces and private endpoints."""
    def set_outbound(
        self,
        subnet: str,
        method: Literal["private", "default", "nat-gateway", "pool"],
        addresses: Addresses | None = None,
        *,
        ports: tuple[int, int] | None = None,
    ) -> None:
        """Chooses how flows of a subnet to public addresses leave: ``private`` (not at all),
        ``default`` (one platform address), ``nat-gateway`` (up to 16 addresses) or ``pool``
        (addresses with ``ports``, first and last, without it 1024 to 65535).
        """
    def set_gateway_idle(self, subnet: str, minutes: int | None) -> None:
        """Sets the idle timeout of TCP flows behind the NAT gateway of a subnet: 4 to 120 minutes,
        or ``None`` for the default.
        """
    def add_nic(self, subnet: str, name: str, address: Address) -> None:
        """Declares an interface, which may send under its own address only, unless it forwards."""
    def remove_nic(self, nic: str) -> None:
        """Removes an interface."""
    def set_public_address(self, nic: str, address: Address | None) -> None:
        """Gives an interface a public address of its own, or takes it with ``None``."""
    def set_address_idle(self, nic: str, minutes: int | None) -> None:
        """Sets the idle timeout of flows behind the public address of an interface: 4 to 120
        minutes, or ``None`` for the default.
        """
    def set_ip_forwarding(self, nic: str, on: bool) -> None:
        """Sets whether an interface may send packets with other hosts' sources."""
    def deallocate(self, nic: str) -> None:
        """Stops and deallocates the machine of an interface, which then neither sends nor receives.
        """
    def start(self, nic: str) -> None:
        """Starts the machine of an interface."""
    def add_site(self, name: str, ranges: Prefixes, nat: Addresses | None = None) -> None:
        """Makes an on-premises site, which reaches the internet behind the addresses of ``nat``."""
    def remove_site(self, site: str) -> None:
        """Removes a site that no gateway connects."""
    def connect(self, vnet: str, site: str, announced: Prefixes) -> None:
        """Connects a site through a VPN gateway. The site announces prefixes by BGP."""
    def connect_express_route(self, vnet: str, site: str, announced: Prefixes) -> None:
        """Connects a site through an ExpressRoute gateway, to which no user route may lead."""
    def disconnect(self, vnet: str, site: str) -> None:
        """Ends the connection of a site to a virtual network."""
    def set_peering(
        self,
        site: str,
        kind: Literal["microsoft", "public"] | None,
        addresses: Addresses | None = None,
    ) -> None:
        """Sets how the circuit of a site reaches services: ``microsoft`` (any addresses),
        ``public`` (two) or ``None``.
        """
    def set_route(self, subnet: str, prefix: Prefix, next_hop: Address) -> None:
        """Sets the user-defined route of a subnet for a prefix. ``next_hop`` is the address of an
        appliance, ``Internet``, ``None`` (in quotes: packets are dropped), ``VnetLocal`` or
        ``site NAME``, a site with a VPN.
        """
    def remove_route(self, subnet: str, prefix: Prefix) -> None:
        """Removes the user-defined route of a subnet for a prefix."""
    def set_bgp_override(self, subnet: str, route: Prefix, on: bool) -> None:
        """Sets whether a user-defined route overrides the BGP routes inside its prefix."""
    def set_tag_route(
        self,
        subnet: str,
        tag: str,
        level: Literal["regional", "service", "cloud-region", "cloud"],
        prefixes: Prefixes,
        next_hop: Address,
    ) -> None:
        """Sets the user-defined route of a subnet for the prefixes of a service tag. ``level`` is
        ``regional``, ``service``, ``cloud-region`` or ``cloud``. Between equal prefixes the first
        of these wins.
        """
    def remove_tag_route(self, subnet: str, tag: str) -> None:
        """Removes the user-defined route of a subnet for a service tag."""
    def set_bgp_propagation(self, subnet: str, on: bool) -> None:
        """Sets whether the table of a subnet takes the routes that gateways learn by BGP."""
    def set_reserved_ranges(self, ranges: Prefixes) -> None:
        """Chooses the ranges for which every table has a system route to None."""
    def set_tie_policy(self, policy: Literal["documented", "observed"]) -> None:
        """Chooses how equal prefixes of a user route and an endpoint are decided: ``documented``
        (the endpoint wins) or ``observed`` (the route wins).
        """
    def add_service(self, name: str, prefixes: Prefixes | None = None) -> None:
        """Makes a service with prefixes. Without any it is a service of Azure's, such as
        ``Microsoft.Storage``, with the published prefixes, regions and habits.
        """
    def add_service_name(self, service: str, name: str) -> None:
        """Gives a service a further name under which its endpoint can be enabled."""
    def set_service_prefixes(self, service: str, prefixes: Prefixes) -> None:
        """Replaces the prefixes of a service."""
    def set_service_regions(self, service: str, regions: Mapping[str, str]) -> None:
        """Says in which region prefixes of a service lie: a ``dict`` from prefix to region."""
    def set_same_region_path(self, service: str, on: bool) -> None:
        """Sets whether networks of a prefix's own region reach a service by private sources without
        an endpoint.
        """
    def set_endpoint_first(
        self, service: str, asks: Literal["not-asked", "unless-ignored", "always"]
    ) -> None:
        """Sets whether a service requires the endpoint of a subnet before it takes a rule for it:
        ``not-asked``, ``unless-ignored`` or ``always``.
        """
    def set_takes_policies(self, service: str, on: bool) -> None:
        """Sets whether endpoint policies can be attached to the endpoints of a service."""
    def enable_endpoint(
        self, subnet: str, service: str, scope: str | Iterable[str] | None = None
    ) -> None:
        """Enables the endpoint of a service on a subnet. ``scope`` lists the regions for which it
        holds, ``"*"`` for all; without it Azure's own scope of the service is taken.
        """
    def disable_endpoint(self, subnet: str, service: str) -> None:
        """Disables the endpoint of a service on a subnet."""
    def add_resource(
        self,
        service: str,
        name: str,
        address: Address,
        *,
        default: Literal["allow", "deny"] | None = None,
        ip_rules: Prefixes | None = None,
        subnet_rules: str | Iterable[str] | None = None,
        public_access: bool = True,
        ignore_missing_endpoint: bool = False,
    ) -> None:
        """Makes a resource that answers at an address of its service.

        ``default`` is ``allow`` or ``deny``, without it ``deny`` if there are rules. ``ip_rules``
        are public addresses and prefixes. ``subnet_rules`` are names of subnets, which count for
        callers over an endpoint. ``ignore_missing_endpoint`` is the flag of Azure by that name.
        """
    def set_rules(
        self,
        resource: str,
        *,
        default: Literal["allow", "deny"] | None = None,
        ip_rules: Prefixes | None = None,
        subnet_rules: str | Iterable[str] | None = None,
        public_access: bool = True,
        ignore_missing_endpoint: bool = False,
    ) -> None:
        """Replaces all rules of a resource; see ``add_resource``."""
    def set_secondary(self, resource: str, at: Address | None) -> None:
        """Sets the address of the read-only copy of a resource, or removes it with ``None``."""
    def place_resource(
        self, resource: str, region: str = "", subscription: str = "", tenant: str = ""
    ) -> None:
        """Says where a resource is placed. What is not given is unknown."""
    def set_resource_path(self, resource: str, path: str) -> None:
        """Sets the id by which endpoint policies know a resource."""
    def remove_resource(self, resource: str) -> None:
        """Removes a resource to which no private endpoint leads."""
    def set_deny_mode(self, mode: Literal["deliver", "reset", "drop"]) -> None:
        """Chooses what becomes of packets that a resource refuses: ``deliver`` them with the
        refusal, so that the service can answer, ``reset`` their connection, or ``drop`` them.
        """
    def add_security_group(self, name: str, rules: Iterable[SecurityRule]) -> None:
        """Makes a security group of ``SecurityRule``. It guards nothing until ``guard_subnet`` or
        ``guard_nic``.
        """
    def set_security_rules(self, name: str, rules: Iterable[SecurityRule]) -> None:
        """Replaces all rules of a security group. Live flows go on."""
    def remove_security_group(self, name: str) -> None:
        """Removes a security group that guards nothing."""
    def guard_subnet(self, subnet: str, group: str | None) -> None:
        """Lets a security group guard a subnet, or none with ``None``."""
    def guard_nic(self, nic: str, group: str | None) -> None:
        """Lets a security group guard an interface besides that of its subnet, or none with
        ``None``.
        """
    def set_tag(self, name: str, prefixes: Prefixes) -> None:
        """Defines a name in security rules: a service tag, or an application security group."""
    def add_endpoint_policy(
        self, name: str, region: str, resources: str | Iterable[str], subscription: str = ""
    ) -> None:
        """Makes an endpoint policy that allows resources: ids of subscriptions, resource groups and
        storage accounts, and aliases such as ``/services/Azure``.
        """
    def remove_endpoint_policy(self, policy: str) -> None:
        """Removes an endpoint policy that is not attached."""
    def attach_policy(self, subnet: str, service: str, policy: str) -> None:
        """Attaches an endpoint policy to the endpoint of a service on a subnet."""
    def detach_policy(self, subnet: str, service: str, policy: str) -> None:
        """Detaches an endpoint policy."""
    def add_private_endpoint(self, subnet: str, name: str, address: Address, resource: str) -> None:
        """Makes a private endpoint of a subnet, which leads to one resource. It is pending until
        ``set_private_endpoint_state``.
        """
    def remove_private_endpoint(self, name: str) -> None:
        """Removes a private endpoint."""
    def set_private_endpoint_state(
        self, name: str, state: Literal["pending", "approved", "rejected", "disconnected"]
    ) -> None:
        """Sets what the owner of the resource says: ``pending``, ``approved``, ``rejected`` or
        ``disconnected``. Only an approved one carries traffic.
        """
    def link_names(self, name: str, vnet: str, on: bool) -> None:
        """Sets whether the name of the resource has the address of the private endpoint in a
        network.
        """
    def set_network_policies(
        self, subnet: str, *, routes: bool = False, security_groups: bool = False
    ) -> None:
        """Sets which policies of a subnet apply to its private endpoints."""
    def set_private_endpoint_policy(self, vnet: str, policy: Literal["disabled", "basic"]) -> None:
        """Sets whether user routes to the network itself carry packets to private endpoints that
        they cover: ``disabled`` or ``basic``.
        """
    def link_zone(self, service: str, vnet: str, *, fallback: bool = False) -> None:
        """Links the zone of a service's private names to a network. ``fallback`` asks the internet
        for a name that the zone does not have.
        """
    def unlink_zone(self, service: str, vnet: str) -> None:
        """Removes the link of a zone."""
    def add_load_balancer(self, vnet: str, name: str, frontends: Addresses) -> None:
        """Makes a load balancer with public addresses and no members."""
    def remove_load_balancer(self, name: str) -> None:
        """Removes a load balancer without members."""
    def set_frontends(self, name: str, frontends: Addresses) -> None:
        """Replaces the public addresses of a load balancer."""
    def set_outbound_rule(
        self, name: str, *, ports: int = 0, resets: bool = False, idle_minutes: int | None = None
    ) -> None:
        """Replaces the outbound rule: ports for each member, a multiple of 8 or 0 for the table of
        Azure; whether idle flows end with resets; the idle timeout in minutes, 4 to 120.
        """
    def add_member(self, name: str, nic: str) -> None:
        """Puts an interface into the pool of a load balancer."""
    def remove_member(self, name: str, nic: str) -> None:
        """Takes an interface out of the pool of a load balancer, and ends its flows."""
    def add_inbound_rule(self, name: str, frontend: Address, port: int) -> None:
        """Notes that a rule listens on a port of one of the addresses, which costs outbound flows
        the eight ports around it.
        """

def load(
    *files: Path,
    before: bool = False,
    parameters: Paths | None = None,
    addresses: Mapping[str, Address] | None = None,
    hosts: Paths | None = None,
    tags: Path | None = None,
) -> Network:
    """Reads a network from files of Azure, Terraform or ARM, from folders of them, or from one
    scenario.

    Takes what ``vnetem model -m`` takes: Terraform plans and states, ARM templates and what-ifs,
    JSON of ``az`` commands, or one ``.scn`` file. Of a plan the network is as planned, with
    ``before=True`` as it is. ``addresses`` says where resources answer, from name to address, and
    ``hosts`` names files that say so. ``parameters`` are values for ARM templates, ``tags`` a
    published list of service tags in place of the built-in one.

    Raises ``FilesError`` if a file cannot be read. ``Network.notes`` has what the files leave open.
    """

def load_change(
    *files: Path,
    after: Paths | None = None,
    parameters: Paths | None = None,
    addresses: Mapping[str, Address] | None = None,
    hosts: Paths | None = None,
    tags: Path | None = None,
) -> tuple[Network, Network]:
    """Reads a network and its change from files: the network before, and after.

    ``files`` are a Terraform plan or an ARM what-if, with the files of the network beside it. With
    ``after`` they are the network before, and ``after`` the same network as it will be. The other
    keywords are those of ``load``. Both networks know each other: ``what_if`` compares them, and a
    data plane of the first can apply the second.

    Raises ``FilesError`` if a file cannot be read, or no file has a change.
    """

def what_if(
    before: Network, after: Network, flows: Flows | None = None
) -> tuple[str, str, str]:
    """Tries traffic on a network before and after a change: the report as JSON, text and HTML."""
