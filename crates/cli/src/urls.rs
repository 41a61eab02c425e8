//! Lists of URLs: from arguments, a file or standard input, and split into calls.
//!
//! What this is: reading, and refusing what no service could take, before anything is sent.
//! What this is not: the service's own rules (whose hosts, which areas); those it tells itself.
//!
//! Invariant: each URL knows where it stood, and [`List::calls`] covers the list once, in order.

use std::fmt::Write as _;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use catharsis_tcapi::limits::MAX_JSON_BODY;

use crate::ended::Ended;
use crate::terminal::Terminal;

/// Bytes of URLs in one call as JSON: the body's limit less room for everything beside the list.
const CALL_BYTES_MAX: usize = MAX_JSON_BODY - 64 * 1024;

/// Bytes of a list. Three million URLs at 80 bytes: a year of the documented day quota.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// Bytes of a URL. Common HTTP servers and caches take no longer request line.
const URL_BYTES_MAX: usize = 8_192;

/// Mistakes shown at once; a wrong file has as many as it has lines.
const COMPLAINTS_MAX: usize = 10;

/// The name of standard input, in places and instead of a file.
const STDIN: &str = "-";

/// What is to be purged, in order.
#[derive(Debug, Default)]
pub(crate) struct List {
    urls: Vec<String>,
    /// Parallel to `urls`.
    places: Vec<Place>,
    files: Vec<String>,
    complaints: Vec<String>,
    /// Mistakes beyond those shown.
    more: usize,
}

/// Where a URL stood; counted from 1.
#[derive(Clone, Copy, Debug)]
enum Place {
    Argument(usize),
    Line { file: usize, line: usize },
}

impl List {
    /// Reads the arguments, of which `-` stands for standard input, then the file.
    ///
    /// # Errors
    /// Every mistake, up to ten, each by `file:line` or by the number of the argument; an unreadable
    /// file; an empty list.
    pub(crate) fn read(arguments: &[String], file: Option<&Path>, terminal: &mut Terminal<'_>) -> Result<Self, Ended> {
        let stdin = |text: &str| text == STDIN;
        let asked = arguments.iter().filter(|text| stdin(text)).count();
        if asked + usize::from(file.is_some_and(|path| path == Path::new(STDIN))) > 1 {
            return Err(Ended::Usage("standard input can be read once: `-` is given twice".to_owned()));
        }
        let mut list = Self::default();
        for (at, argument) in arguments.iter().enumerate() {
            if stdin(argument) {
                list.add_file(Path::new(STDIN), terminal)?;
            } else {
                list.add(argument, Place::Argument(at + 1));
            }
        }
        if let Some(path) = file {
            list.add_file(path, terminal)?;
        }
        list.checked()
    }

    fn checked(mut self) -> Result<Self, Ended> {
        if self.more > 0 {
            self.complaints.push(format!("and {} more", self.more));
        }
        if !self.complaints.is_empty() {
            return Err(Ended::Usage(format!("nothing was sent:\n  {}", self.complaints.join("\n  "))));
        }
        if self.urls.is_empty() {
            return Err(Ended::Usage("the list holds no URL: nothing was sent".to_owned()));
        }
        Ok(self)
    }

    fn add_file(&mut self, path: &Path, terminal: &mut Terminal<'_>) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        // One byte more than is allowed, so that a list that is too long is not taken for a whole one.
        let read = if path == Path::new(STDIN) {
            (&mut *terminal.input).take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes))
        };
        let name = path.display();
        read.map_err(|error| Ended::Usage(format!("cannot read {name}: {error}")))?;
        if bytes.len() as u64 > LIST_BYTES_MAX {
            return Err(Ended::Usage(format!("{name} has more than {} MiB: split it", LIST_BYTES_MAX >> 20)));
        }
        self.add_lines(&bytes, &name.to_string());
        Ok(())
    }

    /// A URL a line; blank lines and lines that begin with `#` are passed over.
    fn add_lines(&mut self, bytes: &[u8], name: &str) {
        let file = self.files.len();
        self.files.push(name.to_owned());
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::Line { file, line: at + 1 };
            match std::str::from_utf8(line) {
                Err(_) => self.complain(place, "it is not UTF-8", &String::from_utf8_lossy(line)),
                Ok(line) if line.starts_with('#') || line.trim().is_empty() => {}
                Ok(line) => self.add(line.trim(), place),
            }
        }
    }

    fn add(&mut self, url: &str, place: Place) {
        match check(url) {
            Err(why) => self.complain(place, why, url),
            Ok(()) => {
                self.urls.push(url.to_owned());
                self.places.push(place);
            }
        }
    }

    fn complain(&mut self, place: Place, why: &str, text: &str) {
        if self.complaints.len() == COMPLAINTS_MAX {
            self.more += 1;
            return;
        }
        let mut shown: String = text.trim_end().chars().take(80).collect();
        if shown.len() < text.trim_end().len() {
            shown.push('…');
        }
        let complaint = format!("{}: {why}: {shown:?}", self.name(place));
        self.complaints.push(complaint);
    }

    fn name(&self, place: Place) -> String {
        match place {
            Place::Argument(at) => format!("argument {at}"),
            Place::Line { file, line } => {
                let name = self.files.get(file).map_or("", String::as_str);
                format!("{}:{line}", if name == STDIN { "standard input" } else { name })
            }
        }
    }

    /// The URLs in order.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Where a part of the list stood, for a message.
    pub(crate) fn places(&self, part: &Range<usize>) -> String {
        let mut text = String::new();
        let ends = [part.start, part.end.saturating_sub(1)];
        for (at, place) in ends.into_iter().filter_map(|at| self.places.get(at)).enumerate() {
            if at == 1 && part.len() == 1 {
                break;
            }
            // Writing to a text cannot fail.
            let _infallible = write!(text, "{}{}", if at == 0 { "" } else { " to " }, self.name(*place));
        }
        text
    }

    /// Splits the list into calls of at most `batch` URLs whose JSON fits into one body.
    pub(crate) fn calls(&self, batch: usize) -> Vec<Range<usize>> {
        split(&self.urls, batch, CALL_BYTES_MAX)
    }
}

fn split(urls: &[String], batch: usize, bytes_max: usize) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, url) in urls.iter().enumerate() {
        let more = json_len(url);
        match calls.last_mut() {
            Some(call) if call.len() < batch && bytes + more <= bytes_max => {
                call.end = at + 1;
                bytes += more;
            }
            Some(_) | None => {
                calls.push(at..at + 1);
                bytes = more;
            }
        }
    }
    calls
}

/// Bytes of a URL in a JSON list: quotation marks and a comma, and a backslash before what needs one.
/// Control characters, which need more, were refused.
fn json_len(url: &str) -> usize {
    url.len() + url.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count() + 3
}

/// Whether a text can be a URL to purge, whoever the service is.
fn check(url: &str) -> Result<(), &'static str> {
    if url.len() > URL_BYTES_MAX {
        return Err("a URL has at most 8192 bytes");
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return Err("a URL begins with http:// or https://");
    }
    if url.chars().any(char::is_control) {
        return Err("a URL holds no control characters");
    }
    if url.contains('#') {
        return Err("a fragment (#…) is never sent to a cache: leave it out, or write %23");
    }
    let authority = rest.split(['/', '?', '\\']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("a URL holds no user name or password here");
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("the host name is missing or malformed");
    }
    if host.contains('*') {
        return Err("a host name holds no wildcard here");
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0) || port.starts_with('+')) {
        return Err("the port is no number from 1 to 65535");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Result<List, String> {
        let mut list = List::default();
        list.add_lines(bytes, "list");
        list.checked().map_err(|ended| {
            assert_eq!(ended.status(), 2, "wrong input is wrong usage");
            ended.to_string()
        })
    }

    #[test]
    fn list_has_a_url_a_line_whatever_the_editor_did_to_it() {
        let text = "\u{feff}http://a.test/1\r\n\r\n   \n# a comment\n  HTTPS://a.test/中 文 \nhttp://a.test:81/3";
        let list = list(text.as_bytes()).expect("a valid list");
        assert_eq!(list.urls(), ["http://a.test/1", "HTTPS://a.test/中 文", "http://a.test:81/3"]);
        assert_eq!(list.places(&(1..3)), "list:5 to list:6");
        assert_eq!(list.places(&(0..1)), "list:1");
    }

    #[test]
    fn every_wrong_line_is_named_before_anything_is_sent() {
        let text = b"http://a.test/\nwww.a.test/\nhttp://u@a.test/\nhttp://a.test/#x\n # no comment\nhttp://\nhttp://a.test:0/\n\
            http://*.a.test/\nhttp://a.test/\x1b\nhttp://a.test/\xff\n";
        let wrong = list(text).expect_err("nine mistakes");
        let lines: Vec<&str> = wrong.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "list:2: a URL begins with http:// or https://: \"www.a.test/\"",
                "list:3: a URL holds no user name or password here: \"http://u@a.test/\"",
                "list:4: a fragment (#…) is never sent to a cache: leave it out, or write %23: \"http://a.test/#x\"",
                "list:5: a URL begins with http:// or https://: \"# no comment\"",
                "list:6: the host name is missing or malformed: \"http://\"",
                "list:7: the port is no number from 1 to 65535: \"http://a.test:0/\"",
                "list:8: a host name holds no wildcard here: \"http://*.a.test/\"",
                "list:9: a URL holds no control characters: \"http://a.test/\\u{1b}\"",
                "list:10: it is not UTF-8: \"http://a.test/\u{fffd}\"",
            ]
        );
    }

    #[test]
    fn file_full_of_mistakes_does_not_fill_the_screen() {
        let wrong = list("x\n".repeat(5_000).as_bytes()).expect_err("5,000 mistakes");
        assert_eq!(wrong.lines().count(), 12);
        assert!(wrong.ends_with("and 4990 more"), "{wrong}");
    }

    #[test]
    fn empty_list_is_a_mistake() {
        assert!(list(b"\n# nothing\n").expect_err("no URL").contains("no URL"));
    }

    #[test]
    fn long_list_is_split_into_calls_that_lose_nothing() {
        let urls: Vec<String> = (0..2_500).map(|number| format!("http://a.test/{number}")).collect();
        assert_eq!(split(&urls, 1_000, CALL_BYTES_MAX), [0..1_000, 1_000..2_000, 2_000..2_500]);
        assert_eq!(split(&urls[..1_000], 1_000, CALL_BYTES_MAX), [std::ops::Range { start: 0, end: 1_000 }]);
    }

    #[test]
    fn call_never_outgrows_its_body() {
        let urls = vec![format!("http://a.test/{}", "\\".repeat(8_000)); 2_000];
        for call in split(&urls, 1_000, CALL_BYTES_MAX) {
            let body = serde_json::to_vec(&urls[call]).expect("texts serialize");
            assert!(body.len() <= CALL_BYTES_MAX + 1, "{}", body.len());
        }
    }
}
