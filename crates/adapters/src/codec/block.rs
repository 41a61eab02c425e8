//! The items of a task as one block of bytes.
//!
//! What this is: the encoding of submitted URLs and their areas. A small header (how many, which
//! hosts, which areas) stands before the packed URLs, so that most questions are answered without
//! unpacking. What this is not: a normal form; URLs are kept letter by letter.
//!
//! Version 1, all numbers as varints:
//! ```text
//! version=1  shape  count  [areas]  hosts (length bytes)*  plain_length  body
//! shape   bits 0-1: areas of all items (0 mainland, 1 overseas, 2 global, 3 each its own)
//!         bit 2: the body is packed with lz4
//! areas   only for "each its own": two bits an item, four items a byte, the first lowest
//! hosts   how many distinct hosts are listed; 0 when there are more than HOSTS_LISTED_MAX
//! body    per item: [its host's index, when two or more are listed]  length  bytes
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use catharsis_core::area::{Area, AreaSet};
use catharsis_core::limits::{HOST_BYTES_MAX, URL_BYTES_MAX, URLS_PER_CALL_MAX};
use catharsis_core::target::HostName;
use catharsis_core::task::Item;

use super::{CodecError, Reader, put_varint};

const VERSION: u8 = 1;
const ITEMS_MAX: usize = URLS_PER_CALL_MAX as usize;
/// Distinct hosts that a header lists. A task of one customer rarely names more; beyond this the
/// list would cost more bytes than skipping the block saves.
const HOSTS_LISTED_MAX: usize = 64;
/// Bodies shorter than this are kept plain: packing one URL makes it longer.
const PACK_MIN: usize = 128;
/// lz4 makes at most 255 bytes of one; a block that claims more is damaged.
const LZ4_RATIO_MAX: usize = 256;
const SHAPE_MIXED: u8 = 3;
const SHAPE_PACKED: u8 = 4;

/// Encodes the items of a task.
///
/// # Errors
/// When there are none, too many, or one is longer than a URL may be: the planner lets none of
/// these pass, and what could not be read back must not be accepted.
pub(crate) fn encode(items: &[Item]) -> Result<Vec<u8>, CodecError> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(CodecError::Malformed("the number of items"));
    }
    if items.iter().any(|item| item.url.len() > URL_BYTES_MAX) {
        return Err(CodecError::Malformed("an item is too long"));
    }
    let hosts = Hosts::of(items);
    let plain = hosts.plain_body(items);
    let packed = (plain.len() >= PACK_MIN).then(|| lz4_flex::block::compress(&plain));
    let (packing, body) = match packed {
        Some(packed) if packed.len() < plain.len() => (SHAPE_PACKED, packed),
        _ => (0, plain.clone()),
    };
    let mut out = Vec::with_capacity(body.len() + 64);
    let uniform = uniform_areas(items);
    out.push(VERSION);
    out.push(uniform.map_or(SHAPE_MIXED, area_code) | packing);
    put_varint(&mut out, items.len() as u64);
    if uniform.is_none() {
        put_areas(&mut out, items);
    }
    put_varint(&mut out, hosts.names.len() as u64);
    for host in &hosts.names {
        put_varint(&mut out, host.len() as u64);
        out.extend_from_slice(host.as_bytes());
    }
    put_varint(&mut out, plain.len() as u64);
    out.extend_from_slice(&body);
    Ok(out)
}

fn uniform_areas(items: &[Item]) -> Option<AreaSet> {
    let first = items.first()?.areas;
    items.iter().all(|item| item.areas == first).then_some(first)
}

const fn area_code(areas: AreaSet) -> u8 {
    match areas {
        AreaSet::One(Area::Mainland) => 0,
        AreaSet::One(Area::Overseas) => 1,
        AreaSet::Global => 2,
    }
}

const fn area_of_code(code: u8) -> Option<AreaSet> {
    match code {
        0 => Some(AreaSet::One(Area::Mainland)),
        1 => Some(AreaSet::One(Area::Overseas)),
        2 => Some(AreaSet::Global),
        _ => None,
    }
}

fn put_areas(out: &mut Vec<u8>, items: &[Item]) {
    for four in items.chunks(4) {
        let byte =
            four.iter().enumerate().fold(0u8, |byte, (place, item)| byte | (area_code(item.areas) << (2 * place)));
        out.push(byte);
    }
}

/// The host of a URL that was accepted, in the form of [`HostName`], found without parsing the
/// whole URL a second time; `None` for a text that no plan lets pass.
fn host_of(url: &str) -> Option<Cow<'_, str>> {
    let rest = url.split_once("://")?.1;
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let host = authority.split(':').next()?;
    let simple = host
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'));
    if simple && !host.is_empty() && !host.ends_with('.') {
        return Some(Cow::Borrowed(host));
    }
    let parsed = HostName::parse(host).ok()?;
    Some(Cow::Owned(parsed.as_str().to_owned()))
}

/// The distinct hosts of a task and which item has which. Empty names: not listed.
struct Hosts<'a> {
    names: Vec<Cow<'a, str>>,
    of_item: Vec<usize>,
}

impl<'a> Hosts<'a> {
    fn of(items: &'a [Item]) -> Self {
        let unlisted = Self { names: Vec::new(), of_item: Vec::new() };
        let mut seen: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut built = Self { names: Vec::new(), of_item: Vec::with_capacity(items.len()) };
        for item in items {
            let Some(host) = host_of(&item.url).filter(|host| host.len() <= HOST_BYTES_MAX) else {
                return unlisted;
            };
            // Neighbours mostly share their host: no need to ask the map then.
            let last = built.of_item.last().copied();
            let index = match last.filter(|index| built.names[*index] == host) {
                Some(index) => index,
                None => *seen.entry(host.clone()).or_insert(built.names.len()),
            };
            if index == built.names.len() {
                if index == HOSTS_LISTED_MAX {
                    return unlisted;
                }
                built.names.push(host);
            }
            built.of_item.push(index);
        }
        built
    }

    fn plain_body(&self, items: &[Item]) -> Vec<u8> {
        let size = items.iter().map(|item| item.url.len() + 3).sum();
        let mut plain = Vec::with_capacity(size);
        for (place, item) in items.iter().enumerate() {
            if self.names.len() > 1 {
                put_varint(&mut plain, self.of_item[place] as u64);
            }
            put_varint(&mut plain, item.url.len() as u64);
            plain.extend_from_slice(item.url.as_bytes());
        }
        plain
    }
}

/// A stored block: its header is read, its URLs are still packed.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    count: usize,
    areas: Areas<'a>,
    hosts: Vec<&'a str>,
    packed: bool,
    plain_len: usize,
    body: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Areas<'a> {
    Uniform(AreaSet),
    Each(&'a [u8]),
}

/// What a header tells about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostShare {
    /// No item has it.
    None,
    /// Every item has it.
    All,
    /// Only unpacking tells.
    Some,
}

impl<'a> Block<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the bytes are no block of a known version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => Self::parse_v1(&mut reader),
            other => Err(CodecError::Version(other)),
        }
    }

    fn parse_v1(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let shape = reader.byte()?;
        let count = reader.bounded(ITEMS_MAX, "the number of items")?;
        if count == 0 || shape > SHAPE_MIXED + SHAPE_PACKED {
            return Err(CodecError::Malformed("the header"));
        }
        let areas = match area_of_code(shape & SHAPE_MIXED) {
            Some(areas) => Areas::Uniform(areas),
            None => Areas::Each(reader.take(count.div_ceil(4))?),
        };
        let listed = reader.bounded(HOSTS_LISTED_MAX, "the number of hosts")?;
        let mut hosts = Vec::with_capacity(listed);
        for _ in 0..listed {
            let len = reader.bounded(HOST_BYTES_MAX, "the length of a host")?;
            let host = std::str::from_utf8(reader.take(len)?);
            hosts.push(host.map_err(|_| CodecError::Malformed("a host"))?);
        }
        let plain_len = reader.bounded(count * (URL_BYTES_MAX + 4), "the length of the body")?;
        let packed = shape & SHAPE_PACKED != 0;
        let most = if packed { LZ4_RATIO_MAX } else { 1 };
        if plain_len > reader.rest.len().saturating_mul(most) {
            return Err(CodecError::Malformed("the length of the body"));
        }
        Ok(Self { count, areas, hosts, packed, plain_len, body: reader.rest })
    }

    /// The areas of an item; `None` beyond the last or when the code is damaged.
    fn areas(&self, index: usize) -> Option<AreaSet> {
        match self.areas {
            Areas::Uniform(areas) => Some(areas),
            Areas::Each(codes) => {
                let byte = codes.get(index / 4)?;
                area_of_code((byte >> (2 * (index % 4))) & 3)
            }
        }
    }

    /// What the header tells about a host.
    pub(crate) fn host_share(&self, host: &str) -> HostShare {
        match self.hosts.as_slice() {
            [] => HostShare::Some,
            [only] if *only == host => HostShare::All,
            many if many.contains(&host) => HostShare::Some,
            _ => HostShare::None,
        }
    }

    /// Whether all hosts, none, or some are among those that `allows` names.
    pub(crate) fn hosts_share(&self, allows: impl Fn(&str) -> bool) -> HostShare {
        let allowed = self.hosts.iter().filter(|host| allows(host)).count();
        match (self.hosts.len(), allowed) {
            (0, _) => HostShare::Some,
            (all, allowed) if all == allowed => HostShare::All,
            (_, 0) => HostShare::None,
            _ => HostShare::Some,
        }
    }

    /// Whether `allows` names the host of an item that was unpacked from this block.
    pub(crate) fn host_allowed(&self, stored: &StoredItem, allows: impl Fn(&str) -> bool) -> bool {
        match stored.host.and_then(|index| self.hosts.get(index)) {
            Some(name) => allows(name),
            None => host_of(&stored.item.url).is_some_and(|name| allows(&name)),
        }
    }

    /// Unpacks the items, in the order submitted.
    ///
    /// # Errors
    /// When the body is damaged.
    pub(crate) fn unpack(&self) -> Result<Vec<StoredItem>, CodecError> {
        let plain: Cow<'_, [u8]> = if self.packed {
            let plain = lz4_flex::block::decompress(self.body, self.plain_len);
            Cow::Owned(plain.map_err(|_| CodecError::Malformed("the packed body"))?)
        } else {
            Cow::Borrowed(self.body)
        };
        if plain.len() != self.plain_len {
            return Err(CodecError::Malformed("the length of the body"));
        }
        let mut reader = Reader::new(&plain);
        // Each item takes at least one byte, so a false count is noticed before it costs memory.
        let mut items = Vec::with_capacity(self.count.min(plain.len()));
        for index in 0..self.count {
            items.push(self.item(index, &mut reader)?);
        }
        if reader.is_empty() { Ok(items) } else { Err(CodecError::Malformed("bytes follow the last item")) }
    }

    fn item(&self, index: usize, reader: &mut Reader<'_>) -> Result<StoredItem, CodecError> {
        let host = match self.hosts.len() {
            0 => None,
            1 => Some(0),
            listed => Some(reader.bounded(listed - 1, "the index of a host")?),
        };
        let len = reader.bounded(URL_BYTES_MAX, "the length of a URL")?;
        let url = std::str::from_utf8(reader.take(len)?).map_err(|_| CodecError::Malformed("a URL"))?.into();
        let areas = self.areas(index).ok_or(CodecError::Malformed("the areas of an item"))?;
        Ok(StoredItem { item: Item { url, areas }, host })
    }

    /// Whether an item that was unpacked from this block has this host.
    pub(crate) fn has_host(&self, stored: &StoredItem, host: &str) -> bool {
        match stored.host.and_then(|index| self.hosts.get(index)) {
            Some(name) => *name == host,
            None => host_of(&stored.item.url).is_some_and(|name| name == host),
        }
    }
}

/// One item of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredItem {
    /// The item.
    pub(crate) item: Item,
    /// Its host's place in the header; `None` when the hosts are not listed.
    host: Option<usize>,
}

#[cfg(test)]
mod tests {
    use catharsis_core::target::{CacheUrl, Encode};
    use proptest::prelude::*;

    use super::*;

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let area =
            prop_oneof![Just(AreaSet::One(Area::Mainland)), Just(AreaSet::One(Area::Overseas)), Just(AreaSet::Global)];
        let url = (0u8..90, "/[a-zé%0-9 ]{0,20}", any::<bool>()).prop_map(|(host, path, odd)| {
            let host = if odd { format!("H{host}.Test.") } else { format!("h{host}.test") };
            format!("http://{host}{path}")
        });
        proptest::collection::vec((url, area), 1..200)
            .prop_map(|list| list.into_iter().map(|(url, areas)| Item { url: url.into(), areas }).collect())
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<Item>, CodecError> {
        let stored = Block::parse(bytes)?.unpack()?;
        Ok(stored.into_iter().map(|one| one.item).collect())
    }

    proptest! {
        #[test]
        fn items_survive_encoding_letter_by_letter(items in items()) {
            let bytes = encode(&items).expect("within the bounds");
            prop_assert_eq!(decoded(&bytes), Ok(items));
        }

        #[test]
        fn header_never_hides_a_host(items in items(), host in 0u8..90) {
            let host = format!("h{host}.test");
            let bytes = encode(&items).expect("within the bounds");
            let block = Block::parse(&bytes).expect("just encoded");
            let stored = block.unpack().expect("just encoded");
            let truly = |item: &Item| CacheUrl::parse(&item.url, Encode::AsSubmitted)
                .is_ok_and(|url| url.host().as_str() == host);
            for one in &stored {
                prop_assert_eq!(block.has_host(one, &host), truly(&one.item));
            }
            let having = items.iter().filter(|item| truly(item)).count();
            match block.host_share(&host) {
                HostShare::None => prop_assert_eq!(having, 0),
                HostShare::All => prop_assert_eq!(having, items.len()),
                HostShare::Some => {}
            }
        }

        #[test]
        fn damaged_block_is_an_error_and_no_panic(
            items in items(), at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = encode(&items).expect("within the bounds");
            let place = at.index(bytes.len());
            bytes[place] = value;
            bytes.truncate(cut.index(bytes.len() + 1));
            let _outcome = decoded(&bytes);
        }

        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _outcome = decoded(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _outcome = decoded(&bytes);
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_not_stored() {
        let long = Item { url: "x".repeat(URL_BYTES_MAX + 1).into(), areas: AreaSet::Global };
        assert!(encode(&[]).is_err());
        assert!(encode(&[long]).is_err());
    }

    #[test]
    fn block_of_a_later_version_is_named() {
        assert_eq!(decoded(&[9, 0, 0]), Err(CodecError::Version(9)));
    }

    #[test]
    fn similar_urls_take_a_fraction_of_their_length() {
        let items: Vec<Item> = (0..1_000)
            .map(|n| Item {
                url: format!("https://www.example.test/assets/images/product-{n:06}/large.jpg").into(),
                areas: AreaSet::Global,
            })
            .collect();
        let plain: usize = items.iter().map(|item| item.url.len()).sum();
        let bytes = encode(&items).expect("within the bounds");
        assert!(bytes.len() * 3 < plain, "{} of {plain}", bytes.len());
    }
}
