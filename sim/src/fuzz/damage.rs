//! What may happen to a folder's files while nobody looks.

use super::Input;
use super::image::Image;

const SECTOR_BYTES: usize = 512;

/// Changes `image` as `input` says.
pub fn damage(image: &mut Image, input: &mut Input<'_>) {
    let mut left = 6;
    while !input.is_empty() && left > 0 {
        left -= 1;
        let names: Vec<String> = image.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = &names[input.below(names.len())];
        let other = &names[input.below(names.len())];
        match input.below(12) {
            // Most often bytes: flipped, lost, or another place's.
            0..=3 => {
                let at = place(image, name, input);
                let mask = input.byte().max(1);
                change(image, name, |bytes| bytes[at] ^= mask);
            }
            4 | 5 => {
                let at = place(image, name, input) / SECTOR_BYTES * SECTOR_BYTES;
                let count = (1 + input.below(4)) * SECTOR_BYTES;
                change(image, name, |bytes| {
                    let end = (at + count).min(bytes.len());
                    bytes[at..end].fill(0);
                });
            }
            6 | 7 => {
                let (from, to) = (place(image, other, input), place(image, name, input));
                let count = 1 + input.below(2000);
                let source: Vec<u8> = image[other].iter().skip(from).take(count).copied().collect();
                change(image, name, |bytes| {
                    let end = (to + source.len()).min(bytes.len());
                    bytes[to..end].copy_from_slice(&source[..end - to]);
                });
            }
            8 => {
                let length = place(image, name, input);
                change(image, name, |bytes| bytes.truncate(length));
            }
            9 => {
                let more = input.piece().to_vec();
                change(image, name, |bytes| bytes.extend(more));
            }
            10 => drop(image.remove(name)),
            _ => {
                let taken = image.remove(name).unwrap_or_default();
                let names = ["ffffffffffffffff.log", "0000000000000000.log", "x.log", "0000000000000009.log"];
                let name = if input.coin() { other.as_str() } else { input.pick(&names) };
                image.insert(name.to_owned(), taken);
            }
        }
    }
}

/// A place in a file, near its beginning as often as anywhere.
fn place(image: &Image, name: &str, input: &mut Input<'_>) -> usize {
    let length = image[name].len();
    let near = input.coin();
    let at = usize::from(input.half()) | usize::from(if near { 0 } else { input.byte() }) << 16;
    let length = if near { length.min(8192) } else { length };
    at.checked_rem(length).unwrap_or(0)
}

fn change(image: &mut Image, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(bytes) = image.get_mut(name).filter(|bytes| !bytes.is_empty()) {
        change(bytes);
    }
}
