//! Git over smart HTTP: `git upload-pack` and `git receive-pack` on the bare repositories, behind the same tokens as the
//! API. <https://git-scm.com/docs/http-protocol>

use std::path::Path;
use std::process::Stdio;

use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use tokio::process::Command;

use super::app_auth::{Access, Caller, allows, in_scope};
use super::rest::{Reply, decode};
use super::world::Actor;
use super::{Inner, git, pushes};

/// Whether a path is one of git's.
pub(super) fn is_git(path: &str) -> bool {
    split(path).is_some()
}

/// Answers one request of git's.
pub(super) async fn handle(inner: &Inner, parts: &Parts, caller: Result<Caller, Reply>, body: Bytes) -> Reply {
    match answer(inner, parts, caller, body).await {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn answer(inner: &Inner, parts: &Parts, caller: Result<Caller, Reply>, body: Bytes) -> Result<Reply, Reply> {
    let no_service = || text(404, "Not Found");
    let (full_name, endpoint) = split(parts.uri.path()).ok_or_else(no_service)?;
    let query = parts.uri.query().unwrap_or_default();
    let service = match (parts.method.as_str(), endpoint) {
        ("GET", "info/refs") => query.strip_prefix("service=git-").ok_or_else(no_service)?,
        ("POST", "git-upload-pack") => "upload-pack",
        ("POST", "git-receive-pack") => "receive-pack",
        _ => return Err(no_service()),
    };
    if !matches!(service, "upload-pack" | "receive-pack") {
        return Err(no_service());
    }
    let moved = {
        let world = inner.world();
        world.moved(&full_name).map(|of| format!("{}/{}.git/{endpoint}?{query}", world.server, of.full_name))
    };
    if let Some(location) = moved {
        return Ok(text(301, "Moved Permanently").with_headers([("location".to_owned(), location)]));
    }
    let writes = service == "receive-pack";
    let (id, folder, workflows, bot) = admitted(inner, &full_name, caller, writes)?;

    let mut command = git::command(&folder);
    command.arg(service).arg("--stateless-rpc");
    // With this in the environment, git speaks the version of its protocol that the client asked for.
    if let Some(version) = parts.headers.get("git-protocol").and_then(|value| value.to_str().ok()) {
        command.env("GIT_PROTOCOL", version);
    }
    if !workflows {
        command.env("SIM_REFUSE_WORKFLOWS", "1");
    }
    if endpoint == "info/refs" {
        let output = git::output(command.arg("--http-backend-info-refs").arg("."), b"").await.map_err(broken)?;
        let mut answer = packet(&format!("# service=git-{service}\n"));
        answer.extend(b"0000");
        answer.extend(output.stdout);
        return Ok(uncached(advertisement(service), answer));
    }
    let encoding = parts.headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    let body = match encoding {
        None => body.to_vec(),
        Some(b"gzip" | b"x-gzip") => unzip(&folder, &body).await.map_err(broken)?,
        Some(_) => return Err(text(415, "this content encoding is not understood")),
    };
    if !writes {
        let output = git::output(command.arg("."), &body).await.map_err(broken)?;
        return Ok(uncached("application/x-git-upload-pack-result", output.stdout));
    }
    let _one_at_a_time = inner.pushes.lock().await;
    let output = git::output(command.arg("."), &body).await.map_err(broken)?;
    pushes::noticed(inner, id, Actor { account: bot, app: true }).await.map_err(broken)?;
    Ok(uncached("application/x-git-receive-pack-result", output.stdout))
}

/// The repository's id and folder, whether workflow files may be pushed, and who pushes.
fn admitted(
    inner: &Inner,
    full_name: &str,
    caller: Result<Caller, Reply>,
    writes: bool,
) -> Result<(i64, std::path::PathBuf, bool, i64), Reply> {
    let unknown = |message: &str| {
        let ask = ("www-authenticate".to_owned(), "Basic realm=\"GitHub\"".to_owned());
        text(401, message).with_headers([ask])
    };
    let world = inner.world();
    let token = match caller {
        Ok(Caller::Installation(_, token)) => token,
        Ok(Caller::Nobody) if let Some(of) = world.repository(full_name).filter(|of| of.public && !writes) => {
            return Ok((of.id, of.folder.clone(), false, world.bot));
        }
        Ok(_) => return Err(unknown("Repository not found.")),
        Err(_) => return Err(unknown("Invalid username or token.")),
    };
    let of = world.repository(full_name).filter(|of| in_scope(&world, &token, of));
    let of = of.ok_or_else(|| text(404, "Repository not found."))?;
    let access = if writes { Access::Write } else { Access::Read };
    if !allows(&token, ("contents", access)) {
        return Err(text(403, &format!("Permission to {full_name}.git denied to {}.", world.login(world.bot))));
    }
    if writes && of.archived {
        return Err(text(403, "This repository was archived so it is read-only."));
    }
    Ok((of.id, of.folder.clone(), allows(&token, ("workflows", Access::Write)), world.bot))
}

/// `/<owner>/<name>[.git]/<endpoint>` as `<owner>/<name>` and the endpoint.
fn split(path: &str) -> Option<(String, &'static str)> {
    let endpoints = ["info/refs", "git-upload-pack", "git-receive-pack"];
    let endpoint = endpoints.into_iter().find(|endpoint| path.ends_with(endpoint))?;
    let repository = path.strip_suffix(endpoint)?.strip_suffix('/')?.strip_prefix('/')?;
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    (repository.split('/').count() == 2).then(|| (decode(repository), endpoint))
}

/// Git compresses requests over 1 KiB and no setting of the server's keeps it from that. The `gzip` program undoes it,
/// so that the simulator needs no library for what the bot never does.
async fn unzip(folder: &Path, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("gzip");
    command.arg("-dc").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = git::output(&mut command, body).await?;
    anyhow::ensure!(output.status.success(), "gzip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}

/// One line in git's own framing: four hexadecimal digits of length, then the text.
fn packet(line: &str) -> Vec<u8> {
    format!("{:04x}{line}", line.len() + 4).into_bytes()
}

fn advertisement(service: &str) -> &'static str {
    if service == "receive-pack" {
        "application/x-git-receive-pack-advertisement"
    } else {
        "application/x-git-upload-pack-advertisement"
    }
}

fn uncached(content_type: &'static str, body: Vec<u8>) -> Reply {
    Reply::raw(200, content_type, body).with_headers([("cache-control".to_owned(), "no-cache".to_owned())])
}

fn text(status: u16, message: &str) -> Reply {
    Reply::raw(status, "text/plain; charset=utf-8", message)
}

fn broken(error: anyhow::Error) -> Reply {
    tracing::error!("the simulator's git failed: {error:#}");
    text(500, &format!("the simulator's git failed: {error:#}"))
}
