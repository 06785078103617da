//! The client with the system's allocator.

fn main() {
    peers::run();
}
