//! One direction between two machines.

use crate::world::streams::{Latency, Stream};

/// Its delay, and what is wrong with it.
pub(super) struct Link {
    pub(super) latency: Latency,
    pub(super) blocked: bool,
    /// Chance that a connection attempt (SYN or its answer) is lost.
    pub(super) connect_loss_ppm: u32,
    /// Bytes per second, when it is a narrow one.
    pub(super) bandwidth: Option<u64>,
    busy_until_ns: u64,
    stream: Stream,
}

/// Delay on one machine's own loop-back.
const LOOPBACK: Latency = Latency::uniform_us(10, 30);

impl Link {
    pub(super) fn new(seed: u64, from: u32, to: u32, latency: Latency) -> Link {
        Link {
            latency: if from == to { LOOPBACK } else { latency },
            blocked: false,
            connect_loss_ppm: 0,
            bandwidth: None,
            busy_until_ns: 0,
            stream: Stream::new(seed, "net.link", from, to, 0),
        }
    }

    /// When a packet of `bytes`, sent now, arrives.
    pub(super) fn arrival(&mut self, now: u64, bytes: usize) -> u64 {
        let mut sent = now;
        if let Some(bandwidth) = self.bandwidth {
            let takes = (bytes as u64).saturating_mul(1_000_000_000) / bandwidth.max(1);
            self.busy_until_ns = self.busy_until_ns.max(now) + takes;
            sent = self.busy_until_ns;
        }
        sent + self.latency.draw(&mut self.stream)
    }

    /// Whether a connection attempt gets lost here.
    pub(super) fn loses_attempt(&mut self) -> bool {
        self.stream.chance_ppm(self.connect_loss_ppm)
    }
}
