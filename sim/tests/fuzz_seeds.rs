//! The fuzz targets of `core/fuzz`, on their seeds: so that seeds stay valid, and findings stay fixed.

#[path = "../../core/fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a library there")]
mod tandem_fuzz;

use std::path::Path;

#[test]
fn the_framer_target_takes_every_seed() {
    every_seed("framer", tandem_fuzz::framer::run);
}

#[test]
fn the_session_target_takes_every_seed() {
    every_seed("session", tandem_fuzz::session::run);
}

#[test]
fn the_xml_target_takes_every_seed() {
    every_seed("xml", tandem_fuzz::xml::run);
}

#[test]
fn the_xmpp_target_takes_every_seed() {
    every_seed("xmpp", tandem_fuzz::xmpp::run);
}

#[allow(clippy::disallowed_methods, reason = "a test reads its files")]
#[allow(clippy::print_stdout, reason = "a failure names the file")]
fn every_seed(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../core/fuzz/seeds")
        .join(target);
    let mut seeds = 0;
    for entry in folder.read_dir().expect("a folder of seeds") {
        let file = entry.expect("a seed").path();
        println!("{}", file.display());
        run(&std::fs::read(&file).expect("a seed"));
        seeds += 1;
    }
    assert!(seeds > 5, "{seeds} seeds in {}", folder.display());
}
