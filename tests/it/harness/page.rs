//! A person at a browser, as far as pages are HTML: cookies, forms with their tokens, streams.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use track::admin::sign_in;

use super::World;

/// A browser with its cookies, on one address.
#[derive(Clone)]
pub struct Browser {
    /// `http://127.0.0.1:<port>`.
    pub base: String,
    /// Cookies by name.
    pub cookies: BTreeMap<String, String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Where it leads.
    pub fn location(&self) -> &str {
        self.headers.get(LOCATION).map(|value| value.to_str().expect("an address")).unwrap_or_default()
    }

    /// The token of the page's forms.
    pub fn csrf(&self) -> String {
        self.between("name=\"csrf\" value=\"", "\"").expect("a form with a token").to_owned()
    }

    /// What stands between two texts, the first time.
    pub fn between(&self, before: &str, after: &str) -> Option<&str> {
        let rest = &self.text[self.text.find(before)? + before.len()..];
        rest.split(after).next()
    }
}

/// The text of HTML, tags left out and spaces made few: for snapshots that read well.
pub fn words(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Browser {
    /// A browser of nobody.
    pub fn new(base: String) -> Self {
        Self { base, cookies: BTreeMap::new(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Makes a request as it is, and keeps the cookies of the answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let answer = self.client.request(request).await.expect("the bot answers");
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("a cookie");
            let (name, rest) = cookie.split_once('=').expect("a cookie with a name");
            let value = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// A request with this browser's cookies, on a path of ours or a whole address.
    pub fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let builder = Request::builder().method(method).uri(url);
        if cookies.is_empty() { builder } else { builder.header(COOKIE, cookies.join("; ")) }
    }

    async fn read(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.send(request).await;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Opens a page, without following where it leads.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).body(Full::default()).expect("a request");
        self.read(request).await
    }

    /// Sends a form from a page of ours.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form: String = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect::<Vec<_>>()
            .join("&");
        let origin = self.base.clone();
        let request = self
            .request(Method::POST, path)
            .header(ORIGIN, origin)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))
            .expect("a request");
        self.read(request).await
    }

    /// The same with the token of a page, which is opened first.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.get(page).await.csrf();
        let mut all = vec![("csrf", token.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// Opens a stream of server-sent events.
    pub async fn stream(&mut self, path: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = self.send(request.body(Full::default()).expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        Stream { body: answer.into_body(), read: String::new() }
    }
}

/// A stream that is being read.
pub struct Stream {
    body: Incoming,
    read: String,
}

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub event: String,
    pub id: String,
    pub data: String,
}

impl Stream {
    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.read.find("\n\n") {
                let block: String = self.read.drain(..end + 2).collect();
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ").or_else(|| line.split_once(':')) {
                        Some(("event", name)) => event.event = name.to_owned(),
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("data", data)) => {
                            if !event.data.is_empty() {
                                event.data.push('\n');
                            }
                            event.data.push_str(data);
                        }
                        _ => {}
                    }
                }
                if !event.event.is_empty() || !event.data.is_empty() {
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.read.push_str(std::str::from_utf8(&data).expect("UTF-8"));
            }
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

impl World {
    /// A browser of nobody.
    pub fn browser(&self) -> Browser {
        Browser::new(format!("http://{}", self.bot().address()))
    }

    /// A browser that came by a link from the terminal, as somebody.
    pub async fn signed_in(&self, login: &str) -> Browser {
        let link = sign_in::link(self.bot().context(), Some(login), None).await.expect("a link");
        let mut browser = self.browser();
        let answer = browser.get(&link.url).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/admin"), "{}", answer.text);
        browser
    }
}
