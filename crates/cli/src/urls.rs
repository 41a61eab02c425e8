//! Lists of URLs: from arguments, a file or standard input, and split into calls.

use std::io::Read;
use std::path::Path;

use crate::ended::Ended;

/// Bytes of URLs in one call: the body may have 10 MB, and JSON can double a text at worst six-fold
/// for control characters, which are refused here anyway.
const CALL_BYTES_MAX: usize = 4 << 20;

/// Bytes of a list; more than 10,000,000 URLs a list is a mistake.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// Reads a list: a URL a line; blank lines and lines that begin with `#` are passed over.
///
/// # Errors
/// When the file cannot be read or a line is no URL; the line is named.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, Ended> {
    let name = path.display();
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LIST_BYTES_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LIST_BYTES_MAX).read_to_end(&mut bytes))
    };
    read.map_err(|error| Ended::Usage(format!("cannot read {name}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Ended::Usage(format!("{name} is not UTF-8")))?;
    parse(&text, &name.to_string())
}

/// The URLs of a list.
///
/// # Errors
/// The first line that is no URL, by its number.
pub(crate) fn parse(text: &str, name: &str) -> Result<Vec<String>, Ended> {
    let mut urls = Vec::new();
    for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        check(line).map_err(|why| Ended::Usage(format!("{name}:{}: {why}: {line:?}", number + 1)))?;
        urls.push(line.to_owned());
    }
    Ok(urls)
}

/// Whether a text may be sent at all; the service checks the rest.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(url: &str) -> Result<(), &'static str> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    if !(lower.starts_with("http://") || lower.starts_with("https://")) {
        return Err("a URL begins with http:// or https://");
    }
    if url.chars().any(char::is_control) {
        return Err("a URL holds no control characters");
    }
    Ok(())
}

/// Splits a list into calls of at most `batch` URLs.
pub(crate) fn split(urls: &[String], batch: usize) -> Vec<&[String]> {
    let mut calls = Vec::new();
    let mut rest = urls;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(batch).take_while(|url| {
            bytes += url.len();
            bytes <= CALL_BYTES_MAX
        });
        let (call, later) = rest.split_at(fits.count().max(1));
        calls.push(call);
        rest = later;
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_a_url_a_line_and_names_the_wrong_one() {
        let text = "\u{feff}http://a.test/1\r\n\n# a comment\n  HTTPS://a.test/#2  \n";
        assert_eq!(parse(text, "list").expect("a valid list"), ["http://a.test/1", "HTTPS://a.test/#2"]);
        let wrong = parse("http://a.test/\nwww.a.test/\n", "list").expect_err("no scheme");
        assert_eq!(wrong.to_string(), "list:2: a URL begins with http:// or https://: \"www.a.test/\"");
        assert_eq!(wrong.status(), 2);
    }

    #[test]
    fn long_list_is_split_into_calls_that_lose_nothing() {
        let urls: Vec<String> = (0..2_500).map(|number| format!("http://a.test/{number}")).collect();
        let calls = split(&urls, 1_000);
        assert_eq!(calls.iter().map(|call| call.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        assert_eq!(calls.concat(), urls);
        let huge = vec![format!("http://a.test/{}", "x".repeat(CALL_BYTES_MAX / 2)); 3];
        assert_eq!(split(&huge, 1_000).len(), 3);
    }
}
