//! What lies in the tree of other people's scripts is what npm has, byte by byte; npm itself checks what it sends against the lock file.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::modules;

#[test]
fn the_scripts_are_those_of_npm() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/assets");
    let npm = modules().join("node_modules");
    for (package, file, ours) in
        [("htmx.org", "dist/htmx.min.js", "htmx"), ("htmx-ext-sse", "dist/sse.min.js", "htmx-ext-sse")]
    {
        let about = fs::read(npm.join(package).join("package.json")).unwrap();
        let version = serde_json::from_slice::<Value>(&about).unwrap()["version"].as_str().unwrap().to_owned();
        let ours = here.join(format!("{ours}-{version}.min.js"));
        let there = fs::read(&ours).unwrap_or_else(|error| panic!("{}: {error}", ours.display()));
        assert!(there == fs::read(npm.join(package).join(file)).unwrap(), "{} is not npm's", ours.display());
    }
    let scripts = fs::read_dir(&here).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let foreign = scripts.filter(|name| name.ends_with(".js") && name != "track.js").count();
    assert_eq!(foreign, 2, "another script of somebody else's: add it here and to tests/browser/package.json");
}
