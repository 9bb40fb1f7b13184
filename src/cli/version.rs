//! `track version`.

/// Prints the version, as `--version` does.
pub fn run() {
    println!("track {}", env!("CARGO_PKG_VERSION"));
}
