//! Lists of URLs: from arguments, a file or standard input, read twice and never held whole.
//!
//! What this is: the first reading checks every line before anything is sent, the second yields
//! the calls. What cannot be read twice (a pipe) is kept in an unnamed temporary file between the
//! two. Invariant: memory is bounded by one call, whatever the length of the list.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use crate::ended::Ended;

/// Bytes of URLs in one call: the body may have 10 MB, and JSON can double a text at worst six-fold
/// for control characters, which are refused here anyway.
const CALL_BYTES_MAX: usize = 4 << 20;

/// Bytes of a URL, percent-encoded: the service's limit.
const URL_BYTES_MAX: usize = 8_000;

/// Bytes of a line, for comments and blanks beside the longest URL. Bounds what one line can cost.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A list of which every line has been checked.
#[derive(Debug)]
pub(crate) struct List {
    parts: Vec<Part>,
    count: u64,
}

#[derive(Debug)]
enum Part {
    Given(String),
    Lines { name: String, file: File },
}

impl List {
    /// Opens and checks a list: `urls` (of which `-` is standard input), then the lines of `file`.
    ///
    /// # Errors
    /// When a file cannot be read, the first line that is no URL, or a list without any.
    pub(crate) fn open(urls: &[String], file: Option<&Path>) -> Result<Self, Ended> {
        let mut list = Self { parts: Vec::new(), count: 0 };
        for url in urls {
            if url == "-" {
                list.add(Path::new("-"))?;
            } else {
                check(url).map_err(|why| Ended::Usage(format!("{why}: {}", beginning(url))))?;
                list.parts.push(Part::Given(url.clone()));
                list.count += 1;
            }
        }
        if let Some(path) = file {
            list.add(path)?;
        }
        if list.count == 0 { Err(Ended::Usage("the list holds no URL".to_owned())) } else { Ok(list) }
    }

    fn add(&mut self, path: &Path) -> Result<(), Ended> {
        let name = path.display().to_string();
        let unreadable = |error| Ended::Usage(format!("cannot read {name}: {error}"));
        let mut file = if path == Path::new("-") {
            keep(&mut std::io::stdin().lock()).map_err(unreadable)?
        } else {
            let mut file = File::open(path).map_err(unreadable)?;
            let twice = file.metadata().map_err(unreadable)?.is_file();
            if twice { file } else { keep(&mut file).map_err(unreadable)? }
        };
        for url in Lines::new(&name, BufReader::new(&file)) {
            url.map_err(Ended::Usage)?;
            self.count += 1;
        }
        file.rewind().map_err(unreadable)?;
        self.parts.push(Part::Lines { name, file });
        Ok(())
    }

    /// How many URLs it has.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The calls, each of at most `batch` URLs.
    pub(crate) fn calls(self, batch: usize) -> impl Iterator<Item = Result<Vec<String>, Ended>> {
        let urls = self.parts.into_iter().flat_map(|part| -> Box<dyn Iterator<Item = Result<String, String>>> {
            match part {
                Part::Given(url) => Box::new(std::iter::once(Ok(url))),
                Part::Lines { name, file } => Box::new(Lines::new(&name, BufReader::new(file))),
            }
        });
        split(urls, batch)
            .map(|call| call.map_err(|why| Ended::Failed(vec![format!("the list changed while it was sent: {why}")])))
    }
}

/// Keeps what can be read only once. The system removes the file when it is closed.
fn keep(from: &mut impl Read) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    std::io::copy(from, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// The URLs of a text, a line each; blank lines and lines that begin with `#` are passed over. A
/// wrong line is named by its number, and is the last.
struct Lines<R> {
    name: String,
    reader: R,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn new(name: &str, reader: R) -> Self {
        Self { name: name.to_owned(), reader, number: 0, ended: false }
    }

    /// The next line that is neither blank nor a comment; `None` at the end.
    fn read(&mut self) -> Result<Option<String>, String> {
        loop {
            self.number += 1;
            let mut line = Vec::new();
            let bounded = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
            if bounded.map_err(|error| format!("cannot read {}: {error}", self.name))? == 0 {
                return Ok(None);
            }
            let wrong = |why: &str| Err(format!("{}:{}: {why}", self.name, self.number));
            if line.len() > LINE_BYTES_MAX {
                return wrong(&format!("a line has at most {LINE_BYTES_MAX} bytes"));
            }
            let Ok(text) = std::str::from_utf8(&line) else { return wrong("it is not UTF-8") };
            let text = if self.number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            return match check(text) {
                Ok(()) => Ok(Some(text.to_owned())),
                Err(why) => wrong(&format!("{why}: {}", beginning(text))),
            };
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

/// Whether a text may be sent at all; the service checks the rest.
///
/// # Errors
/// What is wrong with it.
fn check(url: &str) -> Result<(), &'static str> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    if !(lower.starts_with("http://") || lower.starts_with("https://")) {
        return Err("a URL begins with http:// or https://");
    }
    if url.chars().any(char::is_control) {
        return Err("a URL holds no control characters");
    }
    if url.len() > URL_BYTES_MAX || encoded_len(url) > URL_BYTES_MAX {
        return Err("a URL has at most 8000 bytes when percent-encoded");
    }
    Ok(())
}

/// Bytes of a URL as the service counts them: what is not printable ASCII in the path counts three
/// times. The host is counted only where its form will not change, so this is never too strict.
fn encoded_len(url: &str) -> usize {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let host_end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let host = &url[start..host_end];
    let host_len = if host.is_ascii() && !host.contains(':') { host.len() } else { 1 };
    let path_len: usize = url[host_end..].bytes().map(|byte| if byte.is_ascii_graphic() { 1 } else { 3 }).sum();
    start + host_len + path_len
}

/// Enough of a text to recognise it, in quotes.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(96) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// Splits URLs into calls of at most `batch` of them and [`CALL_BYTES_MAX`] bytes.
fn split(
    urls: impl Iterator<Item = Result<String, String>>,
    batch: usize,
) -> impl Iterator<Item = Result<Vec<String>, String>> {
    let mut urls = urls.peekable();
    std::iter::from_fn(move || {
        let mut call = Vec::new();
        let mut bytes = 0;
        while call.len() < batch {
            // An error ends the list; the call before it is still yielded.
            let next = urls.next_if(|next| match next {
                Ok(url) => call.is_empty() || bytes + url.len() <= CALL_BYTES_MAX,
                Err(_) => call.is_empty(),
            });
            match next {
                None => break,
                Some(Err(why)) => return Some(Err(why)),
                Some(Ok(url)) => {
                    bytes += url.len();
                    call.push(url);
                }
            }
        }
        (!call.is_empty()).then_some(Ok(call))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_name_their_line(lines in prop::collection::vec("(http://a\\.test/\\PC{0,20}|# x|\\PC{0,9}|[\\x00-\\x1f]{0,3})", 0..8), tail in prop::collection::vec(any::<u8>(), 0..20)) {
            let bytes = [lines.join("\n").as_bytes(), &tail[..]].concat();
            match Lines::new("list", &bytes[..]).collect::<Result<Vec<String>, String>>() {
                Ok(urls) => prop_assert!(urls.iter().all(|url| check(url).is_ok())),
                Err(told) => prop_assert!(told.starts_with("list:"), "{told}"),
            }
        }

        #[test]
        fn split_keeps_every_url_and_its_order(count in 0_usize..60, batch in 1_usize..9) {
            let urls: Vec<String> = (0..count).map(|number| format!("http://a.test/{number}")).collect();
            let calls: Vec<Vec<String>> = split(urls.clone().into_iter().map(Ok), batch).collect::<Result<_, _>>().expect("right");
            prop_assert!(calls.iter().all(|call| (1..=batch).contains(&call.len())));
            prop_assert_eq!(calls.concat(), urls);
        }
    }

    fn parse(text: &str) -> Result<Vec<String>, String> {
        Lines::new("list", text.as_bytes()).collect()
    }

    #[test]
    fn list_has_a_url_a_line_and_names_the_wrong_one() {
        let text = "\u{feff}http://a.test/1\r\n\n# a comment\n  HTTPS://a.test/#2  \n";
        assert_eq!(parse(text).expect("a valid list"), ["http://a.test/1", "HTTPS://a.test/#2"]);
        let wrong = parse("http://a.test/\nwww.a.test/\n").expect_err("no scheme");
        assert_eq!(wrong, "list:2: a URL begins with http:// or https://: \"www.a.test/\"");
    }

    #[test]
    fn line_without_an_end_is_refused_before_it_fills_the_memory() {
        let endless = BufReader::new(std::io::repeat(b'#'));
        let read: Result<Vec<String>, String> = Lines::new("list", endless).collect();
        assert_eq!(read, Err("list:1: a line has at most 65536 bytes".to_owned()));
    }

    #[test]
    fn url_has_as_many_bytes_as_the_service_takes() {
        let longest = format!("http://a.test/{}", "x".repeat(URL_BYTES_MAX - 14));
        assert_eq!(check(&longest), Ok(()));
        let too_long = "a URL has at most 8000 bytes when percent-encoded";
        assert_eq!(check(&format!("{longest}x")), Err(too_long));
        assert_eq!(check(&format!("http://a.test/{}", "中".repeat(URL_BYTES_MAX / 9))), Err(too_long));
    }

    #[test]
    fn long_list_is_split_into_calls_that_lose_nothing() {
        let urls: Vec<String> = (0..2_500).map(|number| format!("http://a.test/{number}")).collect();
        let calls: Vec<Vec<String>> =
            split(urls.clone().into_iter().map(Ok), 1_000).collect::<Result<_, _>>().expect("no line is wrong");
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        assert_eq!(calls.concat(), urls);
        let huge = std::iter::repeat_n(Ok(format!("http://a.test/{}", "x".repeat(CALL_BYTES_MAX / 2))), 3);
        assert_eq!(split(huge, 1_000).count(), 3);
    }

    #[test]
    fn pipe_is_read_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo is there");
        assert!(made.success());
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "http://a.test/1\nhttp://a.test/2\n")
        });
        let list = List::open(&["http://a.test/0".to_owned()], Some(&path)).expect("it is right");
        writer.join().expect("no panic").expect("it was read");
        assert_eq!(list.count(), 3);
        let calls: Vec<Vec<String>> = list.calls(2).collect::<Result<_, _>>().expect("nothing changed");
        assert_eq!(calls, [vec!["http://a.test/0", "http://a.test/1"], vec!["http://a.test/2"]]);
    }

    #[test]
    fn nothing_is_sent_of_a_list_with_a_wrong_line_anywhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        std::fs::write(&path, "http://a.test/1\n".repeat(5_000) + "ftp://a.test/\n").expect("it is writable");
        let ended = List::open(&[], Some(&path)).expect_err("the last line is wrong");
        assert_eq!(ended.status(), 2);
        assert!(ended.to_string().contains(":5001: "), "{ended}");
    }
}
