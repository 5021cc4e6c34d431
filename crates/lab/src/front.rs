//! What stands at a service: a stack for each realm from which calls come.

use std::collections::BTreeMap;

use bytes::Bytes;
use vnetem_nat::Time;

use crate::{Access, Answer, App, Call, Host, HostSettings};

/// The front end of a service that answers at every address of its prefixes.
///
/// Two VNets may bring the very same client address and port (S-05), so each realm has a stack of its own, made when its first packet
/// comes. A realm is a number that the caller chooses.
#[derive(Debug)]
pub struct FrontEnd {
    settings: HostSettings,
    apps: Vec<(u16, App)>,
    realms: BTreeMap<u64, Host>,
}

impl FrontEnd {
    /// A front end that serves these applications on these ports, whatever address is called.
    #[must_use]
    pub fn new(settings: HostSettings, apps: &[(u16, App)]) -> Self {
        let settings = HostSettings { any_address: true, ..settings };
        Self { settings, apps: apps.to_vec(), realms: BTreeMap::new() }
    }

    /// Takes a packet that came from a realm.
    pub fn receive(&mut self, realm: u64, packet: Bytes) {
        let Self { settings, apps, realms } = self;
        let host = realms.entry(realm).or_insert_with(|| {
            // A stack of another realm numbers its segments differently.
            let seed = settings.seed ^ realm.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut host = Host::new(HostSettings { seed, ..*settings });
            apps.iter().for_each(|(port, app)| host.listen(*port, *app));
            host
        });
        host.receive(packet);
    }

    /// Does all that can be done at `now`; `decide` is asked about each call, with the realm from which it comes.
    pub fn poll(&mut self, now: Time, decide: &mut dyn FnMut(u64, &Call) -> Answer) {
        for (realm, host) in &mut self.realms {
            host.poll_deciding(now, &mut |call| decide(*realm, call));
        }
    }

    /// The next packet, and the realm to which it goes.
    pub fn transmit(&mut self) -> Option<(u64, Bytes)> {
        self.realms.iter_mut().find_map(|(realm, host)| Some((*realm, host.transmit()?)))
    }

    /// When [`poll`](Self::poll) has something to do if no packet comes before.
    #[must_use]
    pub fn next_poll(&mut self, now: Time) -> Option<Time> {
        self.realms.values_mut().filter_map(|host| host.next_poll(now)).min()
    }

    /// The stack of a realm, if a packet has come from it.
    #[must_use]
    pub fn realm(&self, realm: u64) -> Option<&Host> {
        self.realms.get(&realm)
    }

    /// All calls, in order of time, with the realms from which they came.
    #[must_use]
    pub fn access_log(&self) -> Vec<(u64, &Access)> {
        let logs = self.realms.iter();
        let mut all: Vec<_> = logs
            .flat_map(|(realm, host)| host.access_log().iter().map(|access| (*realm, access)))
            .collect();
        all.sort_by_key(|(_, access)| access.call.time);
        all
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::http::{Request, Response};
    use crate::{Refusal, Status};

    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
    const ACCOUNT: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);

    /// S-05, F-16: the same address and port in two VNets are two callers, and each hears its own answer.
    #[test]
    fn the_same_client_in_two_realms_is_two_clients() {
        let remote = SocketAddrV4::new(ACCOUNT, 80);
        let settings = HostSettings::new(ACCOUNT, 3);
        let mut front = FrontEnd::new(settings, &[(80, App::Http)]);
        let mut clients: Vec<_> = (0..2)
            .map(|realm| {
                let mut host = Host::new(HostSettings::new(CLIENT, realm));
                let request = Request::get("stlogs", "/log").write();
                let id = host.connect(Time(0), remote, request, Some(50_000)).unwrap();
                (realm, host, id)
            })
            .collect();
        let mut decide = |realm, call: &Call| {
            let identity = format!("vnet {realm}, {}", call.client.ip());
            if realm == 0 {
                Answer::allow(identity)
            } else {
                Answer::refuse(identity, Refusal::authorization_failure())
            }
        };
        for millisecond in 0..1000 {
            let now = Time(millisecond * 1_000_000);
            for (realm, host, _) in &mut clients {
                host.poll(now);
                while let Some(packet) = host.transmit() {
                    front.receive(*realm, packet);
                }
            }
            front.poll(now, &mut decide);
            while let Some((realm, packet)) = front.transmit() {
                clients[usize::try_from(realm).unwrap()].1.receive(packet);
            }
        }
        let heard: Vec<_> = clients
            .iter()
            .map(|(_, host, id)| {
                let connection = host.connection(*id).unwrap();
                assert_eq!(connection.status, Status::Finished);
                let response = Response::parse(&connection.head).unwrap().unwrap();
                (response.status, response.xml_code())
            })
            .collect();
        assert_eq!(heard, [(200, None), (403, Some("AuthorizationFailure"))]);
        let log: Vec<_> = front
            .access_log()
            .into_iter()
            .map(|(realm, access)| (realm, access.identity.as_str(), access.status))
            .collect();
        assert_eq!(log, [(0, "vnet 0, 10.0.0.4", 200), (1, "vnet 1, 10.0.0.4", 403)]);
    }
}
