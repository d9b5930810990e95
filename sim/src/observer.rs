//! Clients that observe elections, one stream after another, and ask who leads.

use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched_proto::v3electionpb::LeaderRequest;
use etched_proto::v3electionpb::election_client::ElectionClient;

use crate::candidate::{NAMES, who_leads};
use crate::check::Followed;
use crate::client::{Connection, Shared, lock};
use crate::world::streams::Stream as Draws;
use crate::world::{NodeId, SimRuntime};

/// How long nothing may be heard on a stream before it is given up: its member may be cut off.
const SILENCE: Duration = Duration::from_secs(4);

/// Asks who leads, and observes, until its time is over.
pub async fn run_observer(shared: Shared, node: NodeId, number: u64) {
    let mut draws = Draws::new(shared.world.seed(), "observer", node.0, 0, 0);
    let mut connection = Connection::new(&shared, node, number as usize);
    while !shared.is_over() {
        SimRuntime::sleep(Duration::from_millis(1 + draws.below(200))).await;
        let name = *draws.pick(&NAMES).unwrap_or(&NAMES[0]);
        // One member after another is asked: which of them is behind, if any, nobody knows.
        for _ in 0..draws.below(8) {
            if who_leads(&shared, &mut connection, name).await.is_none() || draws.coin() {
                connection.next_member();
            }
            SimRuntime::sleep(Duration::from_millis(draws.below(100))).await;
        }
        let Some(channel) = connection.channel().await else { continue };
        let mut client = ElectionClient::new(channel);
        let request = LeaderRequest { name: name.as_bytes().to_vec().into() };
        let Some(Ok(answer)) = timeout::<SimRuntime, _>(SILENCE, client.observe(request)).await else {
            connection.next_member();
            continue;
        };
        let mut stream = answer.into_inner();
        let mut followed = Followed::new(name.as_bytes());
        let mut patience = 1 + draws.below(40);
        while patience > 0 && !shared.is_over() {
            patience -= 1;
            let next = timeout::<SimRuntime, _>(SILENCE, stream.message()).await;
            let Some(Ok(Some(answer))) = next else { break };
            let revision = answer.header.map_or(0, |header| header.revision);
            let kv = answer.kv.unwrap_or_default();
            let checked = lock(&shared.checks).on_observed(&mut followed, &kv, revision);
            shared.judge(checked);
        }
        if draws.coin() {
            connection.next_member();
        }
    }
}
