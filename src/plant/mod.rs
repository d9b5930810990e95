//! Planted bugs and buggify sites: the constant `false` in the product.
//!
//! `sim/planted` compiles this source a second time with `--cfg planted`; only there do the names
//! exist (house section 2).

#[cfg(planted)]
pub mod planted;

/// Whether the planted bug `$id` is active: always `false` in the product.
#[cfg(not(planted))]
#[allow(unused_macros)]
macro_rules! planted {
    ($id:ident) => {
        false
    };
}

/// Whether the planted bug `$id` is active in this process.
#[cfg(planted)]
#[allow(unused_macros)]
macro_rules! planted {
    ($id:ident) => {
        $crate::planted::is_active($crate::planted::Plant::$id)
    };
}

/// Whether the odd-but-legal behaviour `$site` shall happen now: always `false` in the product.
#[cfg(not(planted))]
#[allow(unused_macros)]
macro_rules! buggify {
    ($site:literal) => {
        false
    };
}

/// Whether the odd-but-legal behaviour `$site` shall happen now.
#[cfg(planted)]
#[allow(unused_macros)]
macro_rules! buggify {
    ($site:literal) => {
        $crate::planted::buggify($site)
    };
}
