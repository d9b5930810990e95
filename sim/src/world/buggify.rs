//! Odd but legal behaviour at marked sites: each site is active in a quarter of all runs and then
//! fires with its own probability, from its own stream.

use std::collections::BTreeMap;

use super::streams::{Stream, label_hash};
use super::{WORLD, World, lock};

/// Chance that a site is active in a run.
const ACTIVE_PPM: u32 = 250_000;
/// Chance that an active site fires when it is asked.
const FIRE_PPM: u32 = 250_000;

/// What happened at one buggify site in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whether the site may fire in this run.
    pub active: bool,
    /// How often it was asked.
    pub asked: u64,
    /// How often it fired.
    pub fired: u64,
}

pub(super) struct Buggify {
    seed: u64,
    enabled: bool,
    sites: BTreeMap<&'static str, (Site, Stream)>,
}

impl Buggify {
    pub(super) fn new(seed: u64, enabled: bool) -> Buggify {
        Buggify { seed, enabled, sites: BTreeMap::new() }
    }

    fn decide(&mut self, name: &'static str) -> bool {
        let seed = self.seed;
        let (site, stream) = self.sites.entry(name).or_insert_with(|| {
            let mut stream = Stream::new(seed, "buggify", 0, 0, label_hash(name));
            let active = stream.chance_ppm(ACTIVE_PPM);
            (Site { active, asked: 0, fired: 0 }, stream)
        });
        site.asked += 1;
        let fires = self.enabled && site.active && stream.chance_ppm(FIRE_PPM);
        site.fired += u64::from(fires);
        fires
    }
}

fn decide(name: &'static str) -> bool {
    WORLD.with_borrow(|world| world.as_ref().is_some_and(|inner| lock(&inner.buggify).decide(name)))
}

/// Makes the product's sites ask the world of their thread.
pub(super) fn install() {
    etched::planted::set_buggify(decide);
}

impl World {
    /// Allows or forbids buggify sites to fire (a calm phase forbids them).
    pub fn set_buggify(&self, enabled: bool) {
        lock(&self.inner.buggify).enabled = enabled;
    }

    /// The sites asked so far, by name.
    pub fn buggify_sites(&self) -> BTreeMap<&'static str, Site> {
        lock(&self.inner.buggify).sites.iter().map(|(name, (site, _))| (*name, *site)).collect()
    }

    /// The world's own odd behaviour, for sites in the simulator.
    pub fn buggify(&self, name: &'static str) -> bool {
        lock(&self.inner.buggify).decide(name)
    }
}
