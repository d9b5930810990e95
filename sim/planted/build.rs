//! Turns on the planted bugs and the buggify sites for this second compilation of the product.
fn main() {
    println!("cargo:rustc-cfg=planted");
}
