//! Choices off the front of the fuzzer's bytes. When they run out, every choice is zero.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next eight bytes.
    pub fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, at| word | u64::from(self.byte()) << (8 * at))
    }

    /// Below `bound` (which is at most 65,536); 0 when `bound` is 0. Takes no more bytes than needed.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = if bound > 256 { self.half().into() } else { usize::from(self.byte()) };
        wide.checked_rem(bound).unwrap_or(0)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True for an odd byte.
    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to `count` bytes; fewer at the end.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// Bytes behind a length of two bytes.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = self.half();
        self.bytes(length.into())
    }
}
