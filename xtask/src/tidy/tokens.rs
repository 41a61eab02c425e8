//! What a token stream tells that a syntax tree hides: what stands inside macros. Strings and comments are not looked into.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A test function: the modules it stands in within its file, then its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) path: Vec<String>,
}

/// What was found in one file.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) tests: Vec<Test>,
    /// Line and name of each macro or attribute that leaves work undone.
    pub(super) unfinished: Vec<(usize, String)>,
}

pub(super) fn look(stream: TokenStream) -> Seen {
    let mut seen = Seen::default();
    walk(stream, &mut Vec::new(), &mut seen);
    seen
}

fn walk(stream: TokenStream, modules: &mut Vec<String>, seen: &mut Seen) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    // Whether the attributes just passed make the next function a test.
    let mut is_test = false;
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1);
        match token {
            TokenTree::Ident(word) => match (word.to_string().as_str(), next) {
                ("fn", Some(TokenTree::Ident(name))) if is_test => {
                    let path = modules.iter().cloned().chain([name.to_string()]).collect();
                    seen.tests.push(Test { path });
                    is_test = false;
                }
                ("store_conformance", Some(TokenTree::Punct(mark))) if mark.as_char() == '!' => {
                    seen.tests.extend(rules(tokens.get(at + 2)).into_iter().map(|name| Test { path: vec![name] }));
                }
                ("todo" | "unimplemented", Some(TokenTree::Punct(mark))) if mark.as_char() == '!' => note(word, seen),
                _ => {}
            },
            TokenTree::Group(group) => {
                let attribute = group.delimiter() == Delimiter::Bracket && follows_hash(&tokens, at);
                if attribute {
                    is_test |= names_test(group);
                    note_ignored(group, seen);
                } else {
                    let module = module_before(&tokens, at);
                    let depth = modules.len();
                    modules.extend(module);
                    walk(group.stream(), modules, seen);
                    modules.truncate(depth);
                }
            }
            TokenTree::Punct(mark) => is_test &= mark.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
}

/// The rules of the conformance suite, each of which its macro makes a test for every store:
/// `store_conformance!(@each fixture; first_rule, second_rule)`.
fn rules(group: Option<&TokenTree>) -> Vec<String> {
    let Some(TokenTree::Group(group)) = group else { return Vec::new() };
    let mut tokens = group.stream().into_iter();
    let is_list = matches!(tokens.next(), Some(TokenTree::Punct(mark)) if mark.as_char() == '@');
    if !is_list {
        return Vec::new();
    }
    let listed = tokens.skip_while(|token| !matches!(token, TokenTree::Punct(mark) if mark.as_char() == ';'));
    idents(listed.collect()).iter().map(ToString::to_string).collect()
}

fn note(word: &Ident, seen: &mut Seen) {
    seen.unfinished.push((word.span().start().line, word.to_string()));
}

/// `#[ignore]`, `#[ignore = ".."]` and `#[cfg_attr(.., ignore)]`.
fn note_ignored(attribute: &Group, seen: &mut Seen) {
    let words = idents(attribute.stream());
    let conditional = words.first().is_some_and(|word| word == "cfg_attr");
    let ignored = words.iter().take(if conditional { usize::MAX } else { 1 }).find(|word| *word == "ignore");
    if let Some(word) = ignored {
        note(word, seen);
    }
}

/// `#[test]`, `#[tokio::test(..)]` and their like: the attribute's path ends in `test`.
fn names_test(attribute: &Group) -> bool {
    let path = attribute.stream().into_iter().take_while(|token| match token {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(mark) => mark.as_char() == ':',
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    });
    idents(path.collect()).last().is_some_and(|word| word == "test")
}

fn idents(stream: TokenStream) -> Vec<Ident> {
    let mut found = Vec::new();
    for token in stream {
        match token {
            TokenTree::Ident(word) => found.push(word),
            TokenTree::Group(group) => found.extend(idents(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

/// Whether `#` or `#!` stands before the token.
fn follows_hash(tokens: &[TokenTree], at: usize) -> bool {
    let mark = |back: usize| {
        let token = at.checked_sub(back).and_then(|index| tokens.get(index));
        if let Some(TokenTree::Punct(mark)) = token { Some(mark.as_char()) } else { None }
    };
    mark(1) == Some('#') || (mark(1) == Some('!') && mark(2) == Some('#'))
}

/// The name of the module whose body the group at `at` is.
fn module_before(tokens: &[TokenTree], at: usize) -> Option<String> {
    let before = |back: usize| at.checked_sub(back).and_then(|index| tokens.get(index));
    match (before(2), before(1)) {
        (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(name))) if word == "mod" => Some(name.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_conformance_suite_are_tests_and_only_those_listed() {
        let text = "fn not_listed() {} macro_rules! m { () => { $crate::store_conformance!(@each $f; first, second); } } \
                    store_conformance!(OurFixture);";
        let seen = look(text.parse().expect("tokens"));
        let names: Vec<_> = seen.tests.iter().flat_map(|test| &test.path).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
